"""What signals do to a real worker process, started as `greenroom up` starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import waiting
from tests.acceptance.greenroom_up import children, is_running

_PATIENCE_SECONDS = 40.0
_BETWEEN_SECONDS = 0.3


def test_a_second_sigterm_ends_a_worker_at_once(sqlite_database: str, tmp_path: Path) -> None:
    """The first SIGTERM lets a worker finish, the second one ends it: nothing that runs beside its main thread keeps it alive."""
    # given
    log = tmp_path / "log"
    environment = os.environ | {"GREENROOM_DATABASE_URL": sqlite_database, "GREENROOM_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", "2", "--worker-fork-timeout", "2000"]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as master:
        worker = 0
        try:
            # The master's word is the last one of a start: from then on it passes signals on.
            waiting.until(
                lambda: b"worker.started" in log.read_bytes() and b"is booting up" in log.read_bytes(),
                "worker",
                seconds=_PATIENCE_SECONDS,
            )
            (worker,) = children(master.pid)

            # when
            _signal_until(worker, lambda: b"Killing worker process" in log.read_bytes())

            # then
            waiting.until(lambda: not is_running(worker), "end of the worker", seconds=_PATIENCE_SECONDS)
            assert master.wait(_PATIENCE_SECONDS) != 0
            assert b"worker.stopped" not in log.read_bytes()
        finally:
            master.kill()
            if worker and is_running(worker):
                os.kill(worker, signal.SIGKILL)


def _signal_until(pid: int, arrived: Callable[[], bool]) -> None:
    """Send SIGTERM until two of them have arrived: two that come at the same moment are one, and a third one is not wanted."""
    sent = 0.0

    def look() -> bool:
        nonlocal sent
        if not arrived() and time.monotonic() - sent > _BETWEEN_SECONDS:
            sent = time.monotonic()
            os.kill(pid, signal.SIGTERM)
        return arrived()

    waiting.until(look, "second signal", seconds=_PATIENCE_SECONDS)
