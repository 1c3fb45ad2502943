"""Job schemas: the OpenAPI document says for each job type what a submission of it looks like."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema

from actors import REGISTRY
from actors.registry import JobType
from api.wire import JobWishes

_JSON = "application/json"
_DEFINITIONS = "#/$defs/"
# A type that contains itself is described so deep; beyond, anything goes.
_DEEPEST = 8


@dataclass
class WrittenSchema(Schema):
    """A schema that is written as JSON already."""

    written: dict[str, Any] = field(default_factory=dict)

    def to_schema(self) -> dict[str, Any]:
        """Give what is written."""
        return self.written


@dataclass
class SubmitOperation(Operation):
    """Describes the body of a submission: one form for each job type."""

    def __post_init__(self) -> None:
        """Put the forms in place of the one that fits all types."""
        forms = [_form(job_type) for job_type in REGISTRY.types()]
        if forms:
            body = WrittenSchema(written={"oneOf": forms})
            self.request_body = RequestBody({_JSON: OpenAPIMediaType(schema=body)}, required=True)


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """Put a schema's definitions where they are used, for in a larger document its references lead nowhere."""
    definitions = schema.get("$defs", {})

    def placed(part: Any, depth: int) -> Any:
        if isinstance(part, list):
            return [placed(item, depth) for item in part]
        if not isinstance(part, dict):
            return part
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
            known = definitions.get(reference.removeprefix(_DEFINITIONS))
            return placed(known, depth + 1) if known is not None and depth < _DEEPEST else {}
        return {name: placed(value, depth) for name, value in part.items() if name != "$defs"}

    found: dict[str, Any] = placed(schema, 0)
    return found


def _form(job_type: JobType) -> dict[str, Any]:
    wishes = whole(msgspec.json.schema(JobWishes))
    own = {"type": {"const": job_type.name, "type": "string"}, "payload": whole(job_type.payload_schema())}
    return wishes | {
        "title": job_type.name,
        "description": job_type.description,
        "properties": own | wishes["properties"],
        "required": list(own),
    }
