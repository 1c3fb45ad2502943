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
def installed(tmp_path: Path) -> Iterator[Up]:
    """Start an installation with a job type that runs a command."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "command_jobs.py").write_text(MODULE)
    installed = Up(
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
    installed.wait_for("Greenroom is running.")
    installed.wait_for("worker.started")
    yield installed
    installed.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a family notes its members."""
    made = tmp_path / "family"
    made.mkdir()
    return made


def look(installed: Up, id_: str) -> dict[str, Any]:
    """Read a job."""
    found: dict[str, Any] = installed.call("GET", f"/api/v1/jobs/{id_}").json()
    return found


def test_d12_json_in_and_out_and_standard_error_kept(installed: Up) -> None:
    """D12: the payload goes in, the result comes out; what fails says how, with the end of its standard error."""
    echo = "import json, sys; json.dump({'words': json.load(sys.stdin)['words'].split()}, sys.stdout)"
    job = installed.finished(installed.submit("tests.command", command=python(echo), words="to be or not"))
    assert (job["status"], job["result"]) == ("completed", {"words": ["to", "be", "or", "not"]})
    broken = "import sys; sys.exit('out of ink')"
    job = installed.finished(installed.submit("tests.command", command=python(broken)))
    assert (job["status"], job["attempt"]) == ("failed", 2)
    error = {
        "type": "CommandFailedError",
        "message": "the command ended with status 1\nout of ink",
        "retryable": True,
        "attempt": 2,
    }
    assert job["error"] == error


def test_d12_the_time_limit(installed: Up, folder: Path) -> None:
    """D12: at the attempt's time limit the family is gone, and the error has the command's last words."""
    id_ = installed.submit("tests.command", command=python(FAMILY, folder))
    pids = family(folder)
    job = installed.finished(id_)
    assert (job["status"], job["error"]["type"]) == ("failed", "CommandTimeoutError")
    assert job["error"]["message"].endswith("so far so good")
    assert_gone(pids)


def test_d12_a_cancelled_job(installed: Up, folder: Path) -> None:
    """D12: DELETE ends the command with its children and their daemon, and the worker is free again."""
    id_ = installed.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    assert all(map(is_running, pids))
    assert installed.call("DELETE", f"/api/v1/jobs/{id_}").json()["status"] == "cancelled"
    assert_gone(pids)
    assert look(installed, id_)["status"] == "cancelled"
    assert installed.finished(installed.submit("tests.echo", n=1))["result"] == {"n": 1}


def test_d12_a_worker_that_stops(installed: Up, folder: Path) -> None:
    """D12: a worker that is told to stop hands the job back, and leaves nothing running."""
    installed.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    installed.signal(signal.SIGTERM)
    assert installed.ended() == 0
    assert not any(map(is_running, pids))


def test_d12_a_worker_that_is_killed(installed: Up, folder: Path) -> None:
    """D12: a worker that is killed outright takes its commands along; the next one does the job anew."""
    id_ = installed.submit("tests.patient", command=python(FAMILY, folder))
    pids = family(folder)
    for worker in installed.workers():
        os.kill(worker, signal.SIGKILL)
    assert_gone(pids)
    for name in folder.iterdir():
        name.unlink()
    pids = family(folder)
    assert look(installed, id_)["attempt"] == 2
    installed.call("DELETE", f"/api/v1/jobs/{id_}")
    assert_gone(pids)
