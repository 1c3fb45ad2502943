"""Drain: how many no-op jobs a second go through, with each transition recorded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Measured
from benchmarks.machine import cpu_seconds
from benchmarks.names import NOTHING
from benchmarks.places import Place, add_users, fill, workers

_LONGEST_SECONDS = 180
_POLL_SECONDS = 0.1
# One user is to be held up by nothing but the work; the limits of a shipped tier are what the others have.
_ROOMY = {"max_running": 100_000, "max_active": 10_000_000}


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of drain.

    :param tier: a shipped tier; None for one without a binding limit of slots.
    :param settings: the worker's, beyond their defaults.
    :param broker: `RabbitMQ` or `Redis`; empty for the SQL broker.
    """

    name: str
    users: int
    jobs: int
    processes: int
    threads: int = 8
    tier: str | None = None
    target: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    broker: str = ""


@dataclass(frozen=True, slots=True)
class _Sample:
    """How far a drain was, and the processor seconds that it had taken by then."""

    left: int
    worker: float
    server: float


def measure(place: Place, case: Case) -> Iterator[Measured]:
    """Fill a queue, let workers empty it, and see to it that nothing went wrong.

    :raises AssertionError: a job is missing or an invariant broken.
    """
    ids = add_users(place, case.users, tier=case.tier or "roomy", limits=None if case.tier else _ROOMY)
    total = fill(place, ids, case.jobs // case.users, type_name=NOTHING)
    with (
        place.broker(case.broker) as settings,
        workers(place, case.processes, case.threads, **settings, **dict(case.settings)) as started,
    ):
        samples = list(_watched(place, started.pid))
    place.check(completed=total)
    yield Measured(case.name, middle_rate(place), "jobs/s", case.target)
    middle = [sample for sample in samples if total * 0.1 <= sample.left <= total * 0.9]
    if len(middle) > 1 and middle[0].left > middle[-1].left:
        first, last, jobs = middle[0], middle[-1], middle[0].left - middle[-1].left
        yield Measured(f"{case.name}: processor time of the workers", 1e6 * (last.worker - first.worker) / jobs, "us/job")
        if not place.database.is_sqlite:
            yield Measured(f"{case.name}: of the server", 1e6 * (last.server - first.server) / jobs, "us/job")


def middle_rate(place: Place) -> float:
    """Divide the middle eight tenths of the finished jobs by the time they took; start and end are left out."""
    moments = sorted(row[0] for row in place.ask(f"SELECT {place.epoch('finished_at')} FROM jobs"))  # noqa: S608 - ours
    first, last = len(moments) // 10, len(moments) * 9 // 10
    return float((last - first) / (moments[last] - moments[first]))


def _watched(place: Place, workers_pid: int) -> Iterator[_Sample]:
    server_pid = place.server_pid()
    end = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < end:
        left = int(place.ask("SELECT sum(unfinished) FROM users")[0][0])
        yield _Sample(left, cpu_seconds(workers_pid), cpu_seconds(server_pid) if server_pid else 0.0)
        if left == 0:
            return
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"not drained within {_LONGEST_SECONDS} s")
