"""The budget: how much a document reads and shows of what has any size, however many lists and aliases it asks with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from strawberry.extensions import FieldExtension

from persistence.errors import ValidationError

MOST_BYTES = 16 * 1024 * 1024
_LARGE = ("payload", "result", "config")


@dataclass(slots=True)
class Budget:
    """The bytes that a document has left."""

    left: int = MOST_BYTES

    def check(self) -> None:
        """Refuse to go on when nothing is left.

        :raises ValidationError: names the limit.
        """
        if self.left <= 0:
            message = f"query: the limit is {MOST_BYTES:,} bytes of payloads, results and configs, and what came before has them"
            raise ValidationError(message, field="query", limit=MOST_BYTES)


class Look(FieldExtension):
    """A field that reads jobs or runs: not once the budget is spent, and what it has read is taken from it.

    It is asked before and not after, so that a mutation that is refused was not done; one page may go beyond the limit.
    """

    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Read, if there is something left."""
        budget: Budget = info.context.budget
        budget.check()
        found = next_(source, info, **kwargs)
        budget.left -= _held(found)
        return found


class Large(FieldExtension):
    """A value of any size: counted when it was read, and once more for each other name under which it is shown."""

    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Show it, if there is something left."""
        value = next_(source, info, **kwargs)
        if info.path.key != info.field_name:
            budget: Budget = info.context.budget
            budget.check()
            budget.left -= _size(value)
        return value


def _held(found: Any) -> int:
    """Count the bytes in a job, a run, a list or a page of them."""
    found = getattr(found, "items", found)
    if isinstance(found, list):
        return sum(map(_held, found))
    return sum(_size(getattr(found, name, None)) for name in _LARGE)


def _size(value: Any) -> int:
    return 0 if value is None else memoryview(value).nbytes
