"""A job type with a payload and a result of its own; a module by itself, for workers and APIs elsewhere load it as well."""

from typing import Annotated

import msgspec

from actors.job import JobContext, job

ADD = "tests.add"


class Sum(msgspec.Struct, forbid_unknown_fields=True):
    """Two numbers."""

    a: int
    b: Annotated[int, msgspec.Meta(ge=0)] = 0


@job(ADD, payload=Sum, result=int, max_attempts=2)
def add(context: JobContext, payload: Sum) -> int:
    """Add two numbers."""
    del context
    return payload.a + payload.b
