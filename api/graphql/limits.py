"""Limits of a document: how deep and how wide it is once all its fragments are written out, before anything else looks at it.

Strawberry's own limiters follow each spread of a fragment anew: twenty fragments of which each spreads the next one twice keep
them busy for seconds, and with every further one it is twice as long. Here each is measured once, and lists count, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    VariableNode,
    Visitor,
    visit,
)
from strawberry.extensions import SchemaExtension

from api.pages import DEFAULT_LIMIT, MOST
from persistence.errors import ValidationError

MOST_TOKENS = 1_000
MOST_FIELDS = 500
MOST_ALIASES = 20
DEEPEST = 8
# What tools ask for when they read the schema goes deeper, through the types of types.
DEEPEST_SCHEMA = 16
# A unit is a value in the answer; looking into the database costs as much as many, and each row that it finds as much as some.
MOST_COST = 10_000
MOST_SCHEMA_COST = 100_000
_LOOK_COST, _ROW_COST = 50, 5
_LOOKS = frozenset({"run", "runs", "job", "jobs", "queueStatus", "recentTasks", "byModel"})
# How many items a list has unless the document says how many it wants; those of the schema are rounded up.
_ITEMS = {
    "runs": DEFAULT_LIMIT,
    "jobs": DEFAULT_LIMIT,
    "recentTasks": DEFAULT_LIMIT,
    "byModel": MOST,
    "byType": 20,
    "workers": 10,
}
_ITEMS |= {"types": 40, "fields": 8, "args": 2, "inputFields": 2, "enumValues": 2, "possibleTypes": 2, "interfaces": 2}
# Digits, sign included: no number of the schema needs more, and Python refuses to read thousands.
_LONGEST_INT = 20
_INTROSPECTION = ("__schema", "__type")


class Size(NamedTuple):
    """The size of a selection with its fragments written out."""

    depth: int = 0
    schema_depth: int = 0
    fields: int = 0
    aliases: int = 0
    cost: int = 0
    schema_cost: int = 0


class DocumentLimits(SchemaExtension):
    """Refuses a document that is too large, before it is validated, for validating is what takes the time."""

    def on_operation(self) -> Iterator[None]:
        """Stop parsing after so many tokens."""
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_validate(self) -> Iterator[None]:
        """Measure what was parsed.

        :raises ValidationError: it is too large, or nobody could store its strings.
        """
        context = self.execution_context
        document = context.graphql_document
        assert document is not None  # noqa: S101 - it was parsed without an error
        check(document, context.variables or {})
        # Of several Strawberry would take the first.
        if (
            context.context.operation is None
            and sum(isinstance(node, OperationDefinitionNode) for node in document.definitions) > 1
        ):
            raise ValidationError("operationName: needs to say which of the document's operations", field="operationName")
        yield


def check(document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Refuse a document that is over a limit.

    :param variables: as they were sent.
    :raises ValidationError: says which limit.
    """
    visit(document, _Literals())
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    measure = _Measure(fragments, variables)
    sizes = [measure.size(node.selection_set) for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    # What no operation spreads is refused later, but not before it was looked through.
    whole = [*sizes, *(measure.fragment(name) for name in fragments)]
    limits = {
        "levels deep": (max((size.depth for size in sizes), default=0), DEEPEST),
        "levels deep in the schema": (max((max(size[:2]) for size in whole), default=0), DEEPEST_SCHEMA),
        "fields": (sum(size.fields for size in whole), MOST_FIELDS),
        "aliases": (sum(size.aliases for size in sizes), MOST_ALIASES),
        "in cost": (sum(size.cost for size in sizes), MOST_COST),
        "in cost of the schema": (sum(size.schema_cost for size in sizes), MOST_SCHEMA_COST),
    }
    for what, (found, most) in limits.items():
        if found > most:
            message = f"query: the limit is {most:,} {what}, with all fragments written out"
            raise ValidationError(message, field="query", limit=most)


class _Literals(Visitor):
    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        if len(node.value) > _LONGEST_INT:
            raise ValidationError(f"query: a number may have {_LONGEST_INT} digits", field="query")

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        if "\0" in node.value:
            raise ValidationError("the character U+0000 is not allowed")


@dataclass
class _Measure:
    """Measures selections, each fragment once."""

    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    known: dict[str, Size | None] = field(default_factory=dict)

    def fragment(self, name: str) -> Size:
        if name not in self.fragments:  # validation says so
            return Size()
        if name not in self.known:
            self.known[name] = None
            self.known[name] = self.size(self.fragments[name].selection_set)
        size = self.known[name]
        if size is None:
            raise ValidationError(f"query: the fragment {name[:100]} spreads itself", field="query")
        return size

    def size(self, selected: SelectionSetNode | None) -> Size:
        total = Size()
        for node in selected.selections if selected else ():
            if isinstance(node, FragmentSpreadNode):
                part = self.fragment(node.name.value)
            elif isinstance(node, FieldNode):
                part = self._field(node)
            else:
                part = self.size(node.selection_set)  # type: ignore[attr-defined]
            total = Size(
                max(total.depth, part.depth),
                max(total.schema_depth, part.schema_depth),
                *(mine + theirs for mine, theirs in zip(total[2:], part[2:], strict=True)),
            )
        return total

    def _field(self, node: FieldNode) -> Size:
        inner = self.size(node.selection_set)
        name = node.name.value
        look, row = (_LOOK_COST, _ROW_COST) if name in _LOOKS else (1, 0)
        size = inner._replace(
            depth=1 + inner.depth,
            fields=1 + inner.fields,
            aliases=(node.alias is not None) + inner.aliases,
            cost=look + self._items(node) * (row + inner.cost),
        )
        if name in _INTROSPECTION:
            return size._replace(depth=1, schema_depth=size.depth, cost=1, schema_cost=size.cost)
        return size

    def _items(self, node: FieldNode) -> int:
        items = _ITEMS.get(node.name.value, 1)
        for argument in node.arguments or ():
            if argument.name.value == "limit":
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value[:10])
                elif isinstance(argument.value, VariableNode):
                    value = self.variables.get(argument.value.name.value)
                # What is none is refused later, and a variable's own default may be any.
                items = min(max(value, 1), MOST) if isinstance(value, int) else MOST
        return items
