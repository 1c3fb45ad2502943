"""Start and size: how soon a worker process has its first job, and how much memory the processes take."""

import sys
import time
from collections.abc import Iterator
from urllib.request import urlopen

from benchmarks import machine
from benchmarks.figures import Measured
from benchmarks.names import NOTHING
from benchmarks.places import Place, add_users, api, fill, running, until, workers

_MEBIBYTE = 2**20
_FIRST_JOB = "<= 500 ms"
_MEMORY = "<= 120 MB"


def measure(place: Place, *, jobs: int) -> Iterator[Measured]:
    """Start workers on a queue that has work, both ways, and weigh them after some of it."""
    (user,) = add_users(place, 1, tier="enterprise")
    place.compile()
    with workers(place, 1, 8):  # once unmeasured, so that no file has to be read from the disk for the first time
        until(lambda: bool(place.ask("SELECT id FROM workers")), seconds=60)
    fill(place, [user], 1, type_name=NOTHING)
    asked_at = time.time()
    with workers(place, 1, 8):
        forked_at, began_at, pid = _first(place)
        yield Measured(
            f"{place.name}, dramatiq actors, worker process to first job", 1000 * (began_at - forked_at), "ms", _FIRST_JOB
        )
        yield Measured(f"{place.name}, dramatiq actors, command to first job", 1000 * (began_at - asked_at), "ms")
        fill(place, [user], jobs, type_name=NOTHING)
        until(lambda: place.ask("SELECT sum(unfinished) FROM users")[0][0] == 0, seconds=60)
        yield from _size(f"{place.name}, worker process after {jobs:,} jobs", pid)
    with api(place) as (started, port):
        with urlopen(f"http://127.0.0.1:{port}/health/ready") as answer:
            answer.read()
        yield from _size(f"{place.name}, API process at rest", started.pid)
    fill(place, [user], 1, type_name=NOTHING)
    asked_at = time.time()
    command = [sys.executable, "-c", "from api.cli import main; main()", "up"]
    with running(command, place.environment(worker_processes=1, port=0)):
        forked_at, began_at, _ = _first(place)
        yield Measured(
            f"{place.name}, greenroom up, worker process to first job", 1000 * (began_at - forked_at), "ms", _FIRST_JOB
        )
        yield Measured(f"{place.name}, greenroom up, command to first job", 1000 * (began_at - asked_at), "ms")


def _first(place: Place) -> tuple[float, float, int]:
    """Wait until the one queued job is done; when its process was forked, when the job was begun, and the process's id."""
    until(lambda: place.ask("SELECT sum(unfinished) FROM users")[0][0] == 0, seconds=60)
    sql = f"""SELECT w.name, {place.epoch("j.started_at")} FROM jobs j JOIN workers w ON w.id = j.worker_id
        ORDER BY j.started_at DESC LIMIT 1"""  # noqa: S608 - ours
    name, began_at = place.ask(sql)[0]
    pid = int(name.rpartition(":")[2])
    return machine.started_at(pid), began_at, pid


def _size(name: str, pid: int) -> Iterator[Measured]:
    sizes = machine.memory_bytes(pid)
    yield Measured(f"{name}, resident", sizes["rss"] / _MEBIBYTE, "MiB", _MEMORY)
    yield Measured(f"{name}, its share", sizes["pss"] / _MEBIBYTE, "MiB")
