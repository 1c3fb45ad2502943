"""Rules: a query of rows, and the conditions that none of them meets."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that no row of a query meets, and how to say what was found in one that does."""

    invariant: str
    broken: str
    found: str


@dataclass(frozen=True, slots=True)
class Query:
    """Rows with an `id`, and the rules that each of them keeps."""

    kind: str
    rows: str
    rules: tuple[Rule, ...]


def listed(values: Iterable[str]) -> str:
    """Write values as SQL's list of words."""
    return ", ".join(f"'{value}'" for value in sorted(values))
