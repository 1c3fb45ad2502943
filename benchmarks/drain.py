"""Drain: how many no-op jobs a second go through, with each transition recorded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.machine import cpu_seconds
from benchmarks.places import Place, add_users, fill, workers
from benchmarks.names import NOTHING

_LONGEST_SECONDS = 120
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Sample:
    """How far a drain was, and the processor seconds that it had taken by then."""

    left: int
    worker: float
    server: float


def drain(place: Place, *, users: int, jobs: int, processes: int, threads: int = 8, tier: str | None = None, **settings: object) -> dict[str, float]:
    """Fill a queue, let workers empty it, and see to it that nothing went wrong.

    :param tier: a shipped tier; None for one without a binding limit of slots.
    """
    roomy = {"max_running": 100_000, "max_active": 10_000_000}
    ids = add_users(place, users, tier=tier or "roomy", limits=None if tier else roomy)
    total = fill(place, ids, jobs // users, type_name=NOTHING)
    server = place.server_pid()
    with workers(place, processes, threads, **settings) as started:
        samples = list(_watched(place, started.pid, server))
    place.check(completed=total)
    middle = [sample for sample in samples if total * 0.1 <= sample.left <= total * 0.9]
    jobs_between = middle[0].left - middle[-1].left if len(middle) > 1 else 0
    return {
        "rate": middle_rate(place),
        "worker_us": 1e6 * (middle[-1].worker - middle[0].worker) / jobs_between if jobs_between else 0.0,
        "server_us": 1e6 * (middle[-1].server - middle[0].server) / jobs_between if jobs_between else 0.0,
    }


def _watched(place: Place, workers_pid: int, server_pid: int | None) -> Iterator[_Sample]:
    end = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < end:
        left = int(place.ask("SELECT sum(unfinished) FROM users")[0][0])
        yield _Sample(left, cpu_seconds(workers_pid), cpu_seconds(server_pid) if server_pid else 0.0)
        if left == 0:
            return
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"not drained within {_LONGEST_SECONDS} s")



def middle_rate(place: Place) -> float:
    """Divide the middle eight tenths of the finished jobs by the time they took; start and end are left out."""
    moments = sorted(_seconds(place))
    first, last = len(moments) // 10, len(moments) * 9 // 10
    return (last - first) / (moments[last] - moments[first])


def _seconds(place: Place) -> list[float]:
    if place.database.is_sqlite:
        sql = "SELECT (julianday(finished_at) - 2440587.5) * 86400.0 FROM jobs"
    else:
        sql = "SELECT CAST(extract(epoch FROM finished_at) AS float8) FROM jobs"
    return [row[0] for row in place.ask(sql)]
