"""Evaluations from end to end: real workers, and an endpoint that really speaks the protocol."""

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from persistence.database import Database
from persistence.evaluations import BASIC, DEEP, PROBE
from persistence.settings import DatabaseSettings
from persistence.verify import verify
from tests import waiting
from tests.acceptance.greenroom_up import Up
from tests.chat_server import ChatServer

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

KEY = "sk-4Tn-never-to-be-seen"
until = partial(waiting.until, seconds=90.0)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """Serve models: `good` can add, `bad` cannot."""
    with ChatServer().running() as running:
        running.key = KEY
        running.answers["good"] = lambda asked: f"It is {sum(int(word) for word in asked.split('+'))}."
        running.answers["bad"] = "I do not know."
        yield running


@pytest.fixture
def installed(database_url: str, tmp_path: Path, server: ChatServer) -> Iterator[Up]:
    """Start an installation whose endpoint is the server; its database is sound in the end, and nothing shows the key."""
    installed = Up(
        tmp_path / "one",
        DATABASE_URL=database_url,
        LEASE_SECONDS="3",
        HEARTBEAT_SECONDS="1",
        SWEEP_SECONDS="1",
        BACKOFF_SECONDS="0.1",
        LLM_URL=server.url,
        LLM_API_KEY=KEY,
    )
    installed.wait_for("Greenroom is running.")
    installed.wait_for("worker.started")
    yield installed
    installed.close()
    assert KEY not in installed.output
    database = Database(DatabaseSettings(), url=database_url)
    with database.read() as session:
        violations = verify(session)
    database.close()
    assert violations == []


def evaluate(installed: Up, count: int, *models: str, **words: Any) -> str:
    """Define sums and let models do them; give the run's id."""
    scenarios = [{"prompt": f"{n} + {n}", "expected": str(2 * n)} for n in range(count)]
    made = installed.call("POST", "/api/v1/evaluations/definitions", json={"name": "sums", "scenarios": scenarios})
    assert made.status_code == 201, made.text
    asked = {"definition": made.json()["id"], "models": models} | words
    started = installed.call("POST", "/api/v1/evaluations/runs", json=asked)
    assert started.status_code == 202, started.text
    id_: str = started.json()["id"]
    return id_


def look(installed: Up, id_: str) -> dict[str, Any]:
    """Read a run."""
    found: dict[str, Any] = installed.call("GET", f"/api/v1/runs/{id_}").json()
    return found


def ended(installed: Up, id_: str) -> dict[str, Any]:
    """Wait for a run's end."""

    def over() -> Any:
        found = look(installed, id_)
        return found if found["status"] in {"completed", "cancelled"} else None

    found: dict[str, Any] = until(over, "end of the run")
    return found


def of_type(installed: Up, id_: str, type: str, **words: str) -> list[dict[str, Any]]:
    """List the jobs of a type of a run, 200 at the most."""
    parameters = {"run": id_, "type": type, "limit": "200"} | words
    jobs: list[dict[str, Any]] = installed.call("GET", "/api/v1/jobs", params=parameters).json()["items"]
    return jobs


def analysis(installed: Up, id_: str, type: str) -> dict[str, Any]:
    """Read what an analysis of a run found."""
    (job,) = of_type(installed, id_, type)
    assert job["status"] == "completed", job
    result: dict[str, Any] = job["result"]
    return result


def test_two_models_are_compared(installed: Up, server: ChatServer) -> None:
    """Each model is asked each scenario once; answers, transcripts, figures, agreement and intervals are there in the end."""
    id_ = evaluate(installed, 10, "good", "bad")
    found = ended(installed, id_)
    assert (found["status"], found["progress"]["completed"], found["progress"]["total"]) == ("completed", 22, 22)
    assert {model: counts["completed"] for model, counts in found["progress"]["by_model"].items()} == {"good": 10, "bad": 10}
    assert server.counted() == {"good": 10, "bad": 10}
    probe = next(job for job in of_type(installed, id_, PROBE, tag="model:good") if job["payload"]["scenario"] == 4)
    assert (probe["result"]["answer"], probe["result"]["score"], probe["result"]["correct"]) == ("It is 8.", 1.0, True)
    transcript = installed.call("GET", f"/api/v1/jobs/{probe['id']}/files/transcript.json").json()
    asked, said = transcript["messages"]
    assert (asked["content"], said["content"], said["role"]) == ("4 + 4", "It is 8.", "assistant")

    bad, good = analysis(installed, id_, BASIC)["models"]
    assert (good["model"], good["probes"], good["correct"], good["score"], good["prompt_tokens"]) == ("good", 10, 10, 1.0, 30)
    assert (bad["model"], bad["correct"], bad["answered"]) == ("bad", 0, 10)
    assert 0 < good["latency_seconds"]["p50"] <= good["latency_seconds"]["p95"] <= good["latency_seconds"]["max"]
    deep = analysis(installed, id_, DEEP)
    accuracy = {one["model"]: (one["accuracy"], one["interval"]) for one in deep["models"]}
    assert accuracy == {"bad": (0.0, [0.0, 0.2775]), "good": (1.0, [0.7225, 1.0])}  # Wilson's, as any table has them
    (pair,) = deep["pairs"]
    assert (pair["models"], pair["scenarios"], pair["agreement"], pair["same_answer"]) == (["bad", "good"], 10, 0.0, 0.0)


def test_d9_what_is_tried_again(installed: Up, server: ChatServer) -> None:
    """D9: 429 and 5xx are tried again until it works; validation and authentication are not, and cost no other probe anything."""
    server.refuse(429, model="limited")
    server.refuse(429, model="polite", Retry_After="1")
    server.refuse(503, model="busy", times=2)
    server.refuse(400, model="wrong", message=f"no such option; {KEY}")
    server.refuse(401, model="stranger")
    models = ("limited", "polite", "busy", "wrong", "stranger")
    id_ = evaluate(installed, 1, *models)
    found = ended(installed, id_)
    assert (found["progress"]["completed"], found["progress"]["failed"]) == (5, 2)
    assert server.counted() == {"limited": 2, "polite": 2, "busy": 3, "wrong": 1, "stranger": 1}
    jobs = {job["payload"]["model"]: job for job in of_type(installed, id_, PROBE)}
    assert {model: jobs[model]["attempt"] for model in models} == {
        "limited": 2,
        "polite": 1,  # told when to come back: waiting for that costs no attempt
        "busy": 3,
        "wrong": 1,
        "stranger": 1,
    }
    assert jobs["wrong"]["error"] == {
        "type": "ChatRefusedError",
        "message": "the chat endpoint answered 400: no such option; [key]",
        "retryable": False,
        "attempt": 1,
    }
    assert "401" in jobs["stranger"]["error"]["message"]
    first, second = (call.at for call in server.calls if call.model == "polite")
    assert second - first >= 1.0
    assert [one["answered"] for one in analysis(installed, id_, BASIC)["models"]] == [1, 1, 1, 0, 0]


def test_d9_an_endpoint_that_is_away(installed: Up, server: ChatServer) -> None:
    """D9: a connection that breaks is tried again; with nothing left to try the probe is a dead letter, and says why."""
    server.answers["broken"] = b"<html>"
    server.refuse(0, model="shaky", times=2)
    server.refuse(0, model="gone", times=100)
    id_ = evaluate(installed, 1, "broken", "shaky", "gone", "good")
    found = ended(installed, id_)
    assert (found["progress"]["completed"], found["progress"]["failed"]) == (4, 2)
    assert server.counted() == {"broken": 4, "shaky": 3, "gone": 4, "good": 1}
    failed = {job["payload"]["model"]: job for job in of_type(installed, id_, PROBE, status="failed")}
    assert {model: (job["attempt"], job["error"]["type"], job["error"]["retryable"]) for model, job in failed.items()} == {
        "broken": (4, "ChatReplyError", True),
        "gone": (4, "ChatUnavailableError", True),
    }


def test_a_new_users_story(installed: Up, server: ChatServer) -> None:
    """Two models are evaluated: paused, the workers killed, resumed, one run cancelled, and what died replayed."""
    # given a run in the middle of its work
    server.hold()
    id_ = evaluate(installed, 30, "good", "bad")
    server.wait_for_calls(8)
    # when it is paused, and its workers are killed while they wait for answers
    assert installed.call("POST", f"/api/v1/runs/{id_}/pause").json()["status"] == "paused"
    before = installed.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    until(lambda: look(installed, id_)["progress"]["processing"] == 0, "rescue of what the dead had begun")
    server.release()
    counts = look(installed, id_)["progress"]
    assert (counts["total"], counts["queued"], counts["percent"]) == (62, 62, 0.0)
    # then it goes on where it was, though three questions are refused for good
    server.refuse(400, model="bad", times=3)
    assert installed.call("POST", f"/api/v1/runs/{id_}/resume").json()["status"] == "running"
    found = ended(installed, id_)
    assert (found["status"], found["progress"]["completed"], found["progress"]["failed"]) == ("completed", 59, 3)
    # when what died is replayed, and analysed again
    letters = installed.call("GET", "/api/v1/dead-letters", params={"type": PROBE}).json()["items"]
    assert len(letters) == 3
    assert installed.call("POST", "/api/v1/dead-letters/replay", json={"type": PROBE}).json()["replayed"] == 3
    found = ended(installed, id_)
    assert (found["progress"]["completed"], found["progress"]["failed"]) == (62, 0)
    again = installed.finished(installed.submit(BASIC, run=id_))
    assert [(one["model"], one["answered"]) for one in again["result"]["models"]] == [("bad", 30), ("good", 30)]
    # when another run is cancelled
    server.hold()
    calls = len(server.calls)
    other = evaluate(installed, 30, "good", "bad")
    server.wait_for_calls(calls + 4)
    cancelled = installed.call("POST", f"/api/v1/runs/{other}/cancel").json()
    assert (cancelled["status"], cancelled["progress"]["cancelled"]) == ("cancelled", 62)
    # then its calls are let go of, though nobody has answered them
    until(lambda: installed.finished(installed.submit("tests.echo", n=1))["result"], "a free worker")
    server.release()
    assert ended(installed, other)["progress"]["completed"] == 0


def test_somebody_elses_run(installed: Up) -> None:
    """An analysis of a run that is not its user's finds no such run."""
    id_ = evaluate(installed, 1, "good")
    ended(installed, id_)
    installed.call("PUT", "/api/v1/users/bob", json={"tenant": "acme", "tier": "pro"})
    key = installed.call("POST", "/api/v1/users/bob/keys", json={}).json()["key"]
    asked = {"type": DEEP, "payload": {"run": id_}}
    job = installed.as_(key, "POST", "/api/v1/jobs", json=asked).json()
    found = installed.as_(key, "GET", f"/api/v1/jobs/{job['id']}?wait=60").json()
    assert (found["status"], found["error"]["type"], found["error"]["retryable"]) == ("failed", "Permanent", False)
    assert found["error"]["message"] == f"there is no run {id_}"
