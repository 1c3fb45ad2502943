"""The register of rows: what each injects, what it promises beyond A1 to A8, and where it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.trial import Trial

ANY = frozenset({"sql", "rabbitmq", "redis"})
SQL = frozenset({"sql"})
MESSAGES = frozenset({"rabbitmq", "redis"})
BOTH = frozenset({"sqlite", "postgresql"})
POSTGRESQL = frozenset({"postgresql"})


@dataclass(frozen=True)
class Row:
    """One row of the table.

    :param id: F1 and so on; variants have a letter.
    :param injects: the fault, in a few words.
    :param promise: the row's own invariant.
    :param figures: the names of its own figures.
    :param deadline_seconds: after this the trial is ended and has failed.
    """

    id: str
    injects: str
    promise: str
    run: Callable[[Trial], None]
    figures: tuple[str, ...] = ()
    databases: frozenset[str] = BOTH
    brokers: frozenset[str] = ANY
    deadline_seconds: float = 200.0


@dataclass(frozen=True)
class Missing:
    """A row that is not run, and why."""

    id: str
    injects: str
    status: str
    reason: str


ROWS: dict[str, Row] = {}
MISSING = (
    Missing("F29", "an idle transaction of ten minutes, 200,000 jobs of churn", "left out", "not a part of the campaign so far"),
)


def row(id: str, injects: str, promise: str, **options: object) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Enter a row."""

    def enter(run: Callable[[Trial], None]) -> Callable[[Trial], None]:
        ROWS[id] = Row(id, injects, promise, run, **options)  # type: ignore[arg-type]
        return run

    return enter
