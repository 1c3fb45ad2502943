"""Commands as workers of jobs, over HTTP and with real workers: results, errors, and that nothing of them outlives its job."""

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import waiting
from tests.acceptance.greenroom_up import Up, is_running
from tests.families import FAMILY, assert_gone, family, python

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

MODULE = """
from typing import Any
from actors.command import run_command
from actors.job import JobContext, job

@job("tests.command", payload=dict, max_attempts=2)
def command(job: JobContext, payload: dict[str, Any]) -> Any:
    return run_command(payload["command"], payload, job)

@job("tests.patient", payload=dict, max_attempts=2, time_limit_seconds=120)
def patient(job: JobContext, payload: dict[str, Any]) -> Any:
    return run_command(payload["command"], payload, job)
"""
until = partial(waiting.until, seconds=60.0)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Start an installation with a job type that runs a command."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "command_jobs.py").write_text(MODULE)
    up = Up(
        folder,
        ACTORS="stage_jobs,command_jobs",
        LEASE_SECONDS="3",
        HEARTBEAT_SECONDS="1",
        SWEEP_SECONDS="1",
        BACKOFF_SECONDS="0.1",
        TIME_LIMIT_SECONDS="4",
        SHUTDOWN_SECONDS="2",
        WORKER_PROCESSES="1",
    )
    up.wait_for("Greenroom is running.")
    up.wait_for("worker.started")
    yield up
    up.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a family notes its members."""
    made = tmp_path / "family"
    made.mkdir()
    return made


def look(up: Up, id_: str) -> dict[str, Any]:
    """Read a job."""
    found: dict[str, Any] = up.call("GET", f"/api/v1/jobs/{id_}").json()
    return found


def test_d12_json_in_and_out_and_standard_error_kept(up: Up) -> None:
    """D12: the payload goes in, the result comes out; what fails says how, with the end of its standard error."""
    echo = "import json, sys; json.dump({'words': json.load(sys.stdin)['words'].split()}, sys.stdout)"
    job = up.finished(up.submit("tests.command", command=python(echo), words="to be or not"))
    assert (job["status"], job["result"]) == ("completed", {"words": ["to", "be", "or", "not"]})
    broken = "import sys; sys.exit('out of ink')"
    job = up.finished(up.submit("tests.command", command=python(broken)))
    assert (job["status"], job["attempt"]) == ("failed", 2)
    error = {
        "type": "CommandFailedError",
        "message": "the command ended with status 1\nout of ink",
        "retryable": True,
        "attempt": 2,
    }
    assert job["error"] == error


def test_d12_the_time_limit(up: Up, folder: Path) -> None:
    """D12: at the attempt's time limit the family is gone, and the error has the command's last words."""
    id_ = up.submit("tests.command", command=python(FAMILY, folder))
    pids = family(folder)
    job = up.finished(id_)
    assert (job["status"], job["error"]["type"]) == ("failed", "CommandTimeoutError")
    assert job["error"]["message"].endswith("so far so good")
    assert_gone(pids)


def test_d12_a_cancelled_job(up: Up, folder: Path) -> None:
    """D12: DELETE ends the command with its children and their daemon, and the worker is free again."""
    id_ = up.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    assert all(map(is_running, pids))
    assert up.call("DELETE", f"/api/v1/jobs/{id_}").json()["status"] == "cancelled"
    assert_gone(pids)
    assert look(up, id_)["status"] == "cancelled"
    assert up.finished(up.submit("tests.echo", n=1))["result"] == {"n": 1}


def test_d12_a_worker_that_stops(up: Up, folder: Path) -> None:
    """D12: a worker that is told to stop hands the job back, and leaves nothing running."""
    up.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    up.signal(signal.SIGTERM)
    assert up.ended() == 0
    assert not any(map(is_running, pids))


def test_d12_a_worker_that_is_killed(up: Up, folder: Path) -> None:
    """D12: a worker that is killed outright takes its commands along; the next one does the job anew."""
    id_ = up.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    for worker in up.workers():
        os.kill(worker, signal.SIGKILL)
    assert_gone(pids)
    for name in folder.iterdir():
        name.unlink()
    pids = family(folder)
    assert look(up, id_)["attempt"] == 2
    up.call("DELETE", f"/api/v1/jobs/{id_}")
    assert_gone(pids)
