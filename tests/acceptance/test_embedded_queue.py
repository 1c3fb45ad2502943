"""The embedded queue (requirements B1, B2, B3 and B5) over HTTP: one command and a SQLite file, or any broker in its place."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.greenroom_up import Operator, Up, children, title
from tests.waiting import until

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

JOBS = """
import pathlib
from actors.job import Backoff, JobContext, Retryable, Snooze, job

@job("queue.flaky", payload=dict, result=dict, retry=Backoff(0.1), max_attempts=3)
def flaky(context: JobContext, payload: dict) -> dict:
    if context.attempt < payload["good_at"]:
        raise Retryable("not yet")
    return {"attempt": context.attempt}

@job("queue.rests", payload=dict, result=dict)
def rests(context: JobContext, payload: dict) -> dict:
    flag = pathlib.Path(payload["flag"])
    if not flag.exists():
        flag.touch()
        raise Snooze(1.5)
    return {"rested": True}
"""
BROKER = """
from dramatiq.brokers.stub import StubBroker

def make() -> StubBroker:
    return StubBroker()
"""
BROKERS = [
    pytest.param("", id="embedded"),
    pytest.param("own_broker:make", id="one-of-ones-own"),
    pytest.param("redis_url", id="redis", marks=pytest.mark.redis),
    pytest.param("rabbitmq_url", id="rabbitmq", marks=pytest.mark.rabbitmq),
]


def begin(folder: Path, **settings: str) -> Up:
    """Start `greenroom up` with the job types above; without settings it has no server beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "queue_jobs.py").write_text(JOBS)
    (folder / "own_broker.py").write_text(BROKER)
    wishes = {"ACTORS": "stage_jobs,queue_jobs", "SWEEP_SECONDS": "0.25", "WORKER_PROCESSES": "1", "UNKNOWN_TYPE_SECONDS": "1"}
    up = Up(folder, **wishes | settings)
    up.wait_for("Greenroom is running")
    return up


@pytest.fixture(params=BROKERS)
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Up]:
    """`greenroom up` on SQLite with the broker that comes along, one of the test's own, Redis and RabbitMQ."""
    broker: str = request.param
    url = request.getfixturevalue(broker) if broker.endswith("_url") else broker
    running = begin(tmp_path / "up", BROKER_URL=url)
    yield running
    running.close()


def submit(up: Operator, type: str, payload: dict[str, Any], **wishes: Any) -> dict[str, Any]:
    """Submit a job that has to be accepted."""
    answer = up.call("POST", "/api/v1/jobs", json={"type": type, "payload": payload} | wishes)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def steps(up: Operator, job_id: str) -> list[tuple[str, int, str | None]]:
    """List a job's transitions: where to, which attempt and why."""
    history = up.call("GET", f"/api/v1/jobs/{job_id}/history").json()["items"]
    return [(step["to"], step["attempt"], step["reason"]) for step in history]


def test_b1_b5_a_job_s_life(up: Up, tmp_path: Path) -> None:
    """B1, B5: enqueued, polled, taken, completed, failed, tried again, put off and paused, alike with every broker."""
    good, bad = submit(up, "tests.echo", {"number": 7}), submit(up, "tests.fail", {"why": "so"})
    third, never = submit(up, "queue.flaky", {"good_at": 3}), submit(up, "queue.flaky", {"good_at": 9}, max_attempts=2)
    moment = datetime.now(UTC) + timedelta(seconds=3)
    later = submit(up, "tests.echo", {}, run_after=moment.isoformat())
    rests = submit(up, "queue.rests", {"flag": str(tmp_path / "flag")})

    assert (good["status"], later["waiting_for"]) == ("queued", "schedule")
    ended = {job["id"]: up.finished(job["id"]) for job in (good, bad, third, never, rests, later)}

    assert (ended[good["id"]]["status"], ended[good["id"]]["result"]) == ("completed", {"number": 7})
    assert (ended[bad["id"]]["status"], ended[bad["id"]]["error"]["message"]) == ("failed", "no good: so")
    assert (ended[third["id"]]["status"], ended[third["id"]]["attempt"]) == ("completed", 3)
    assert (ended[never["id"]]["status"], ended[never["id"]]["attempt"]) == ("failed", 2)
    assert datetime.fromisoformat(ended[later["id"]]["started_at"]) >= moment
    rested = ended[rests["id"]]
    assert (rested["status"], rested["attempt"], rested["result"]) == ("completed", 1, {"rested": True})
    assert [reason for _, _, reason in steps(up, rests["id"])].count("snoozed") == 1
    taken_again = datetime.fromisoformat(rested["started_at"]) - datetime.fromisoformat(rested["created_at"])
    assert taken_again >= timedelta(seconds=1.5)


def test_b1_b3_one_command_and_no_server(tmp_path: Path) -> None:
    """B1, B3: one command starts the API and a worker, on a SQLite file and with nothing else that runs."""
    up = begin(tmp_path / "up")
    try:
        assert up.finished(submit(up, "tests.echo", {"number": 7})["id"])["result"] == {"number": 7}
        assert (tmp_path / "up" / "var" / "greenroom.db").is_file()
        names = sorted(title(pid).split()[0] for pid in children(up.pid))
        assert names == ["dramatiq", "greenroom"]
    finally:
        up.close()


def test_b2_a_type_that_nobody_performs_fails_by_name(tmp_path: Path, sqlite_database: str) -> None:
    """B2: workers give a job to its type's function; one whose type nobody performs any more fails, and is told so by name."""
    before = begin(tmp_path / "before", DATABASE_URL=sqlite_database, WORKER_PROCESSES="0")
    try:
        orphan, kept = submit(before, "queue.flaky", {"good_at": 1}), submit(before, "tests.echo", {"number": 7})
    finally:
        before.close()
    after = begin(tmp_path / "after", DATABASE_URL=sqlite_database, ACTORS="stage_jobs")
    try:
        assert after.finished(kept["id"])["result"] == {"number": 7}
        failed: Any = until(lambda: ended(after, orphan["id"]), "end of the orphan", seconds=60)
        assert (failed["status"], failed["error"]["message"]) == (
            "failed",
            "No processor registered for job type: queue.flaky",
        )
        refused = after.call("POST", "/api/v1/jobs", json={"type": "queue.flaky", "payload": {}})
        assert (refused.status_code, refused.json()["code"]) == (400, "UNKNOWN_JOB_TYPE")
        assert "queue.flaky" in refused.json()["detail"]
    finally:
        after.close()


def ended(up: Operator, job_id: str) -> dict[str, Any] | None:
    """Read a job, once it has ended."""
    job: dict[str, Any] = up.call("GET", f"/api/v1/jobs/{job_id}").json()
    return job if job["finished_at"] is not None else None
