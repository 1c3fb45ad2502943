"""Scalars and words: values that leave as REST writes them, and enumerations of the words that REST uses."""

from datetime import datetime
from enum import Enum
from typing import Any, NewType

import msgspec
import strawberry
from strawberry.types.scalar import ScalarDefinition

from persistence.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from persistence.runs import OnFailure, RunStatus
from persistence.states import Status

__all__ = ["SCALARS", "Json", "OnFailure", "Priority", "RunStatus", "Status"]

Json = NewType("Json", msgspec.Raw)


@strawberry.enum(description="How soon jobs start, among those of one user: REST's priorities 0, 5 and 10.")
class Priority(Enum):
    """How soon jobs start, among those of one user."""

    LOW = LOWEST_PRIORITY
    NORMAL = DEFAULT_PRIORITY
    HIGH = HIGHEST_PRIORITY


# Like the values of their columns and of REST, and not like the names of their members.
strawberry.enum(Status, name="JobStatus", description="How a job stands.", graphql_name_from="value")
strawberry.enum(RunStatus, description="How a run stands.", graphql_name_from="value")
strawberry.enum(
    OnFailure,
    description="What becomes of the jobs that wait for one that has failed: they fail, too, or are cancelled, or go on.",
    graphql_name_from="value",
)


def _as_it_is(value: Any) -> Any:
    """Leave it to the encoder of the whole answer, which is the one that REST has."""
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(name="DateTime", description="A time in RFC 3339, UTC, with microseconds.", serialize=_as_it_is),
    Json: strawberry.scalar(name="JSON", description="Any JSON, as it is kept.", serialize=_as_it_is),
}
