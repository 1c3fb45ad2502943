"""The processes under test: started, killed, frozen and started again as an operator's supervisor would."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.acceptance.greenroom_up import children, is_running

_LOOK_SECONDS = 0.05
_PAUSE_SECONDS = 0.3
END_SECONDS = 25.0


class Process:
    """One process that is kept running.

    :param command: what is started.
    :param log: where it and its children print.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = list(command)
        self.environment = dict(environment)
        self._log = log
        self.is_wanted = True
        self.starts = 0
        self._not_before = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.starts += 1
        self._not_before = time.monotonic() + _PAUSE_SECONDS

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        assert self._process is not None
        return self._process.pid

    @property
    def working(self) -> list[int]:
        """The ids of the processes that do its work: those below the one that was started."""
        return [pid for pid in children(self.pid) if is_running(pid)]

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def revive(self) -> None:
        """Start it again if it has died although it is wanted."""
        if (
            self.is_wanted
            and self._process is not None
            and self._process.poll() is not None
            and time.monotonic() > self._not_before
        ):
            self.start()

    def resume(self) -> None:
        """Start what was stopped, and keep it going again."""
        self.start()
        self.is_wanted = True

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> list[int]:
        """Kill what does its work, without a word; its keeper starts it again."""
        pids = self.working
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def stop(self, seconds: float = END_SECONDS) -> float:
        """Ask it to end and wait; whatever does not is killed.

        :returns: how long it took, in seconds.
        """
        self.is_wanted = False
        assert self._process is not None
        began, below = time.monotonic(), self.working
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in [*below, self.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(10)
        for pid in below:  # a master that was killed leaves them behind
            if is_running(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return time.monotonic() - began

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; None when it has not come."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Keeper:
    """Keeps the processes of a run going."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def keep(self, process: Process) -> Process:
        """Start a process and keep it going."""
        process.start()
        self.processes.append(process)
        return process

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            for process in list(self.processes):
                process.revive()

    def close(self) -> None:
        """End all processes, together."""
        self._closed.set()
        self._thread.join()
        for process in self.processes:
            process.is_wanted = False
            process.signal(signal.SIGCONT)
            for pid in process.working:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in self.processes:
            process.stop()


def worker_command(threads: int, shutdown_seconds: float) -> list[str]:
    """What starts a worker: Dramatiq's own command, as `greenroom up` uses it."""
    return [
        sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", str(threads), "--worker-fork-timeout", "2000",
        "--worker-shutdown-timeout", str(int(shutdown_seconds * 1000)),
    ]  # fmt: skip


def api_command() -> list[str]:
    """What starts the API: Greenroom's own command, told to start no workers."""
    return [sys.executable, "-c", "from api.cli import main; main()", "up"]
