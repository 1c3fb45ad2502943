"""What the environment says of attempts, seen over HTTP with real processes: embedded, and on PostgreSQL with RabbitMQ."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import factories_pdf, waiting
from tests.acceptance.greenroom_up import Up

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

HOUSES = [
    "embedded",
    pytest.param("brokered", marks=[pytest.mark.postgresql, pytest.mark.rabbitmq], id="postgresql-rabbitmq"),
]
JOBS = """
import pathlib, time
from datetime import UTC, datetime
from actors.job import Snooze, job

@job("trial.refused")
def refused(context, payload):
    raise ConnectionError("nobody answers")

@job("trial.held")
def held(context, payload):
    while not pathlib.Path(payload["file"]).exists():
        time.sleep(0.01)
        context.check()
    return {}

@job("trial.later")
def later(context, payload):
    if datetime.now(UTC) < (moment := datetime.fromisoformat(payload["until"])):
        raise Snooze(moment)
    return {}
"""
STAGES = {"documents.upload", "documents.extract", "documents.describe", "documents.convert"}
SLACK_SECONDS = 20.0  # on a machine that does much else
until = partial(waiting.until, seconds=90.0)


@pytest.fixture(params=HOUSES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Give a function that starts an installation, one at a time, always on the same database."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "trial_jobs.py").write_text(JOBS)
    places = {"ACTORS": "stage_jobs,trial_jobs", "SWEEP_SECONDS": "0.5"}
    if request.param == "brokered":
        places["DATABASE_URL"] = request.getfixturevalue("postgres_database")
        places["BROKER_URL"] = request.getfixturevalue("rabbitmq_url")
    running: list[Up] = []

    def begin(**settings: str) -> Up:
        running.append(Up(tmp_path / "home", tmp_path / "more", **(places | settings)))
        running[-1].wait_for("Greenroom is running.")
        return running[-1]

    yield begin
    for up in running:
        up.close()


def listed(up: Up, path: str) -> list[dict[str, Any]]:
    """Read a list of no more than 200."""
    answer = up.call("GET", f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def waits(up: Up, job: str) -> list[float]:
    """Give the seconds between a job's attempts."""
    attempts = sorted(listed(up, f"jobs/{job}/attempts"), key=lambda attempt: int(attempt["attempt"]))
    return [(moment(after["started_at"]) - moment(before["finished_at"])).total_seconds() for before, after in pairwise(attempts)]


def moment(text: str) -> datetime:
    """Read a time of an answer."""
    return datetime.fromisoformat(text)


def most_at_a_time(attempts: list[dict[str, Any]]) -> int:
    """Count how many attempts were under way at the same time, at the most."""
    steps = [(moment(one["started_at"]), 1) for one in attempts] + [(moment(one["finished_at"]), -1) for one in attempts]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def test_e2_waits_and_attempts_are_settings(start: Callable[..., Up]) -> None:
    """A network error is tried again after each wait of GREENROOM_BACKOFF_SECONDS, GREENROOM_MAX_ATTEMPTS times in all."""
    up = start(BACKOFF_SECONDS="0.5,1.5", MAX_ATTEMPTS="3", WORKER_PROCESSES="1")
    job = up.finished(up.submit("trial.refused"))
    assert (job["status"], job["attempt"], job["max_attempts"]) == ("failed", 3, 3)
    assert (job["error"]["type"], job["error"]["message"]) == ("ConnectionError", "nobody answers")
    first, second = waits(up, job["id"])
    assert 0.5 <= first <= 0.5 + SLACK_SECONDS
    assert 1.5 <= second <= 1.5 + SLACK_SECONDS
    # and: E3, it is a dead letter then
    assert [letter["job"] for letter in listed(up, "dead-letters")] == [job["id"]]


@pytest.mark.parametrize("start", ["embedded"], indirect=True)
def test_e2_unset_it_is_three_retries_after_1_5_and_30_seconds(start: Callable[..., Up]) -> None:
    """What the settings are when nobody has set them is what happens, and what the list of job types says."""
    up = start(WORKER_PROCESSES="1")
    job = up.submit("trial.refused")
    assert up.finished(job)["status"] == "failed"
    for wait, promised in zip(waits(up, job), (1, 5, 30), strict=True):
        assert promised <= wait <= promised + SLACK_SECONDS
    told = {one["name"]: (one["retry"], one["limits"]["time_limit_seconds"]) for one in listed(up, "job-types")}
    retries = {"max_attempts": 4, "backoff_seconds": [1.0, 5.0, 30.0]}
    assert told["trial.refused"] == (retries, 10.0)
    # and: C5, a book's stages are tried as often
    assert {kind: retry for kind, (retry, _) in told.items() if kind.startswith("documents.")} == dict.fromkeys(STAGES, retries)


def test_e5_the_time_limit_is_a_setting(start: Callable[..., Up], tmp_path: Path) -> None:
    """An attempt that takes longer than GREENROOM_TIME_LIMIT_SECONDS is interrupted, which counts as a failed one."""
    up = start(TIME_LIMIT_SECONDS="1", MAX_ATTEMPTS="2", BACKOFF_SECONDS="0.1", WORKER_PROCESSES="1")
    job = up.finished(up.submit("trial.held", file=str(tmp_path / "never")))
    assert (job["status"], job["error"]["type"]) == ("failed", "TimeLimitExceeded")
    for attempt in (attempts := listed(up, f"jobs/{job['id']}/attempts")):
        taken = moment(attempt["finished_at"]) - moment(attempt["started_at"])
        assert 1 <= taken.total_seconds() <= 1 + SLACK_SECONDS
    assert len(attempts) == 2
    # and: what is quicker is done
    assert up.finished(up.submit("tests.echo"))["status"] == "completed"


def test_d13_a_type_has_its_limit_across_processes_beside_the_users(start: Callable[..., Up], tmp_path: Path) -> None:
    """Two processes with four threads each keep to two of a type; a user of one slot has one of them; all else goes on."""
    # given
    up = start(TYPE_CONCURRENCY="trial.h*=2", WORKER_PROCESSES="2", WORKER_THREADS="4", TIME_LIMIT_SECONDS="200")
    up.wait_for("worker.started", times=2)
    limits = {"max_active": 100, "max_running": 1, "max_payload_bytes": 65536, "max_items": 3, "weight": 1}
    up.call("PUT", "/api/v1/tiers/narrow", json={**limits, "submits_per_minute": 1000}).raise_for_status()
    up.call("PUT", "/api/v1/users/bob", json={"tenant": "acme", "tier": "narrow"}).raise_for_status()
    key = up.call("POST", "/api/v1/users/bob/keys").json()["key"]
    held = {"type": "trial.held", "payload": {"file": str(tmp_path / "gate")}}
    # when
    for _ in range(3):
        assert httpx.post(
            f"http://127.0.0.1:{up.port}/api/v1/jobs", headers={"Authorization": f"Bearer {key}"}, json=held
        ).is_success
    bobs = {job["id"] for job in until(lambda: listed(up, "jobs?type=trial.held"), "jobs")}
    until(lambda: listed(up, "jobs?type=trial.held&status=processing"), "job of bob's")
    for _ in range(6):
        up.submit("trial.held", file=str(tmp_path / "gate"))
    until(lambda: len(listed(up, "jobs?type=trial.held&status=processing")) >= 2, "second job of the type")
    # then: however much else is done meanwhile, by both processes
    others = [up.submit("tests.echo", number=number) for number in range(40)]
    assert {up.finished(job)["status"] for job in others} == {"completed"}
    assert len(listed(up, "jobs?type=trial.held&status=processing")) == 2
    queued = listed(up, "jobs?type=trial.held&status=queued")
    assert [job["waiting_for"] for job in queued if job["id"] in bobs] == ["user_limit"] * 2
    assert "type_limit" in {job["waiting_for"] for job in queued if job["id"] not in bobs}
    # and: in the end all are done, never more than two at a time
    (tmp_path / "gate").touch()
    until(lambda: len(listed(up, "jobs?type=trial.held&status=completed")) == 9, "end of all jobs")
    attempts = [one for job in listed(up, "jobs?type=trial.held") for one in listed(up, f"jobs/{job['id']}/attempts")]
    assert (len(attempts), most_at_a_time(attempts)) == (9, 2)


@pytest.mark.parametrize(("limits", "most"), [({}, 3), ({"TYPE_CONCURRENCY": "documents.*=1"}, 1)], ids=["default", "set"])
def test_c4_documents_are_three_at_a_time(start: Callable[..., Up], limits: dict[str, str], most: int) -> None:
    """Of six books as many stages as GREENROOM_TYPE_CONCURRENCY says are worked on at a time: three unless it is set."""
    up = start(**limits, WORKER_PROCESSES="2", WORKER_THREADS="4")
    up.wait_for("worker.started", times=2)
    pdf = factories_pdf.long_book(pages=40)
    for _ in range(6):
        assert up.call("POST", "/api/v1/books", files={"file": ("book.pdf", pdf)}).status_code == 201
    until(lambda: len(listed(up, "jobs?status=completed&limit=200")) == 24, "end of all books")
    attempts = [one for job in listed(up, "jobs?limit=200") for one in listed(up, f"jobs/{job['id']}/attempts")]
    assert most_at_a_time(attempts) == most


def test_d10_higher_priorities_are_done_first(start: Callable[..., Up], tmp_path: Path) -> None:
    """Of what waits for the only thread high (10) is done before normal (5), and that before low (0), by name or number."""
    up = start(WORKER_PROCESSES="1", WORKER_THREADS="1", TIME_LIMIT_SECONDS="200", CLAIM_AHEAD="0")
    first = up.submit("trial.held", file=str(tmp_path / "gate"))
    until(lambda: up.call("GET", f"/api/v1/jobs/{first}").json()["status"] == "processing", "start of the first job")
    wishes: list[str | int] = ["low", 5, "high", 0, "normal", 10]
    asked: list[dict[str, Any]] = [{"type": "tests.echo", "payload": {}, "priority": priority} for priority in wishes]
    assert up.call("POST", "/api/v1/jobs/bulk", json={"jobs": asked}).status_code == 202
    (tmp_path / "gate").touch()
    until(lambda: len(listed(up, "jobs?type=tests.echo&status=completed")) == len(asked), "end of all jobs")
    jobs = sorted(listed(up, "jobs?type=tests.echo"), key=lambda job: moment(job["started_at"]))
    assert [job["priority"] for job in jobs] == [10, 10, 5, 5, 0, 0]


def test_b1_what_is_to_run_later_does(start: Callable[..., Up]) -> None:
    """A job with `run_after` does not start before; one that snoozes comes back at its moment, with no attempt counted."""
    up = start(WORKER_PROCESSES="1", MAX_ATTEMPTS="1")
    then = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    asked = {"type": "tests.echo", "payload": {}, "run_after": then}
    delayed = up.call("POST", "/api/v1/jobs", json=asked).json()
    snoozing = up.submit("trial.later", until=then)
    assert delayed["status"] == "queued"
    for job in (up.finished(delayed["id"]), up.finished(snoozing)):
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert moment(job["started_at"]) >= moment(then)
    assert [step["to"] for step in listed(up, f"jobs/{snoozing}/history")].count("queued") == 2


def test_b2_a_type_that_nobody_performs_fails_by_name(start: Callable[..., Up]) -> None:
    """A job whose type the workers have not known for a while fails with a message that names it."""
    first = start(WORKER_PROCESSES="0")
    job = first.submit("trial.held", file="anything")
    first.close()
    up = start(ACTORS="stage_jobs", UNKNOWN_TYPE_SECONDS="1", WORKER_PROCESSES="1")
    found = up.finished(job)
    assert (found["status"], found["error"]["message"]) == ("failed", "No processor registered for job type: trial.held")


def test_e6_a_shutdown_waits_so_long_and_no_longer(start: Callable[..., Up], tmp_path: Path) -> None:
    """What does not finish within GREENROOM_SHUTDOWN_SECONDS goes back uncounted, and is done after the next start."""
    up = start(SHUTDOWN_SECONDS="2", WORKER_PROCESSES="1", TIME_LIMIT_SECONDS="200", MAX_ATTEMPTS="1")
    job = up.submit("trial.held", file=str(tmp_path / "gate"))
    until(lambda: up.call("GET", f"/api/v1/jobs/{job}").json()["status"] == "processing", "start of the job")
    began = time.monotonic()
    up.signal(signal.SIGTERM)
    assert up.ended() == 0
    assert 2 <= time.monotonic() - began <= 2 + SLACK_SECONDS
    (tmp_path / "gate").touch()
    done = start(WORKER_PROCESSES="1").finished(job)
    assert (done["status"], done["attempt"]) == ("completed", 1)
