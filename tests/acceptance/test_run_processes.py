"""Runs and schedules with real workers: pauses, kills and many processes, seen from outside."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.verify import verify
from tests import waiting
from tests.acceptance.greenroom_up import Up

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# From here on nothing may start any more that a pause has caught.
PAUSE_SECONDS = 0.2
until = partial(waiting.until, seconds=60.0)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Look into the installation's database, which has to be sound in the end."""
    database = Database(DatabaseSettings(), url=database_url)
    yield database
    with database.read() as session:
        violations = verify(session)
    database.close()
    assert violations == []


@pytest.fixture
def running(database_url: str, tmp_path: Path) -> Iterator[Up]:
    """Start an installation with two worker processes."""
    running = Up(tmp_path / "one", DATABASE_URL=database_url, LEASE_SECONDS="3", HEARTBEAT_SECONDS="1", SWEEP_SECONDS="1")
    running.wait_for("Greenroom is running.")
    yield running
    running.close()


def start(running: Up, *jobs: dict[str, Any], **words: Any) -> str:
    """Start a run; give its id."""
    answer = running.call("POST", "/api/v1/runs", json={"name": "real", "jobs": jobs, **words})
    assert answer.status_code == 202, answer.text
    id_: str = answer.json()["id"]
    return id_


def progress(running: Up, id_: str) -> dict[str, Any]:
    """Read a run's counts."""
    found: dict[str, Any] = running.call("GET", f"/api/v1/runs/{id_}").json()["progress"]
    return found


def ended(running: Up, id_: str) -> Callable[[], Any]:
    """Make a look at whether a run has ended."""

    def look() -> Any:
        found = running.call("GET", f"/api/v1/runs/{id_}").json()
        return found if found["status"] in {"completed", "cancelled"} else None

    return look


def test_a_pause_stops_new_starts(running: Up, database: Database) -> None:
    """Soon after the answer nothing of the run starts any more, whatever workers had claimed ahead; resumed it all completes."""
    running.wait_for("worker.started", times=2)
    count = 3_000
    id_ = start(running, *[{"type": "tests.echo", "payload": {}}] * count)
    until(lambda: progress(running, id_)["completed"] > 50, "first jobs of the run")

    answer = running.call("POST", f"/api/v1/runs/{id_}/pause")
    answered = datetime.now(UTC)

    assert answer.json()["status"] == "paused", answer.text
    until(lambda: progress(running, id_)["processing"] == 0, "end of what was being processed")
    still = progress(running, id_)
    assert still["queued"] > 0, "all of it was done before the pause: it shows nothing"
    started = _last_start(database, id_)
    assert (started - answered).total_seconds() <= PAUSE_SECONDS
    running.submit("tests.echo")  # something else keeps the dispatchers awake
    time.sleep(0.5)  # what is shown is that nothing happens
    assert progress(running, id_) == still
    assert running.call("POST", f"/api/v1/runs/{id_}/resume").json()["status"] == "running"
    assert until(ended(running, id_), "end of the run")["progress"]["completed"] == count


def test_counts_are_exact_whoever_dies(running: Up, database: Database) -> None:
    """Workers are killed and jobs fail in a run with dependencies: in the end the counts are true, and replayed it completes."""
    running.wait_for("worker.started", times=2)
    jobs: list[dict[str, Any]] = [{"type": "tests.echo", "payload": {}, "tags": ["model:a"]} for _ in range(400)]
    jobs += [{"type": "tests.fail", "payload": {}, "tags": ["model:b"], "key": f"bad-{n}"} for n in range(10)]
    jobs += [{"type": "tests.echo", "payload": {}, "depends_on": [f"bad-{n}"]} for n in range(10)]
    id_ = start(running, *jobs, on_failure="fail")
    until(lambda: progress(running, id_)["completed"] > 20, "first jobs of the run")
    for worker in running.workers():
        os.kill(worker, signal.SIGKILL)

    found = until(ended(running, id_), "end of the run")["progress"]

    assert (found["completed"], found["failed"], found["cancelled"], found["total"]) == (400, 20, 0, 420)
    assert (found["by_model"]["a"]["completed"], found["by_model"]["b"]["failed"]) == (400, 10)
    assert running.call("POST", "/api/v1/dead-letters/replay").json()["replayed"] == 20
    again = until(ended(running, id_), "end of the run")["progress"]
    assert (again["completed"], again["failed"]) == (400, 20)


def test_a_cancelled_run_ends(running: Up, database: Database) -> None:
    """What waits and what is being worked on is cancelled, and the worker lets go of it."""
    running.wait_for("worker.started")
    folder = Path(running.folder)
    held = {"type": "tests.until", "payload": {"started": str(folder / "started"), "file": str(folder / "never")}}
    id_ = start(running, held, *[{"type": "tests.until", "payload": held["payload"], "run_after": "2100-01-01T00:00:00Z"}] * 5)
    until((folder / "started").exists, "job to have begun")

    answer = running.call("POST", f"/api/v1/runs/{id_}/cancel")

    assert (answer.json()["status"], answer.json()["progress"]["cancelled"]) == ("cancelled", 6)
    until(lambda: _slots(database) == 0, "slot to be given back")


def test_a_schedule_fires_once(running: Up, database: Database) -> None:
    """Two worker processes look at the same moments: each schedule makes one job, and those are done."""
    running.wait_for("worker.started", times=2)
    ids = []
    for number in range(10):
        asked = {"type": "tests.echo", "payload": {"n": number}, "cron": "0 0 1 1 *", "tags": ["scheduled"]}
        ids.append(running.call("POST", "/api/v1/schedules", json=asked).json()["id"])
    with database.write() as session:
        run(session, "UPDATE schedules SET next_at = :then, due_at = :then", then=f"{_year()}-01-01 00:00:00.000000")

    def done() -> Any:
        listed = running.call("GET", "/api/v1/jobs?tag=scheduled&status=completed").json()["items"]
        return listed if len(listed) == len(ids) else None

    jobs = until(done, "scheduled jobs")
    assert sorted(job["result"]["n"] for job in jobs) == list(range(10))
    found = [running.call("GET", f"/api/v1/schedules/{id_}").json() for id_ in ids]
    assert {one["fired_count"] for one in found} == {1}
    assert {one["last_job"] for one in found} == {job["id"] for job in jobs}
    assert len(running.call("GET", "/api/v1/jobs?tag=scheduled").json()["items"]) == len(ids)


def _year() -> int:
    return datetime.now(UTC).year


def _last_start(database: Database, id_: str) -> datetime:
    with database.read() as session:
        row = run(session, "SELECT max(started_at) AS at FROM jobs WHERE run_id = :id", id=id_).one()
    found = datetime.fromisoformat(row.at) if isinstance(row.at, str) else row.at
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _slots(database: Database) -> int:
    with database.read() as session:
        return int(run(session, "SELECT count(*) FROM jobs WHERE slot").scalar_one())
