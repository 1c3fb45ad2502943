"""The supervisor: starts the API and the workers as its children, watches them, and stops them in good order.

Each worker process has a Dramatiq master of its own (`dramatiq actors -p 1`). One master for all of them would stop
every worker when one dies, and each death would cost what all of them had in hand.
"""

import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

from api.processes import HOPELESS, Child, adopt_orphans

# What every child needs is loaded once, before the fork; not the composition roots, which each process has its own of.
PRELOADED = ("dramatiq.cli", "httptools", "msgspec", "psycopg", "uvloop", "middleware.order", "persistence.models")

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PROVEN_SECONDS = 5.0  # a process that has lived for so long can start
_MOST_BAD_STARTS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 30.0
_GRACE_SECONDS = 5.0  # for a process to end after its work has
_POLL_SECONDS = 0.05

log = structlog.get_logger(__name__)


class CannotStartError(Exception):
    """A process of Greenroom cannot start; the message is one line for the operator."""


class Service:
    """One process that has to run: started, and started again when it dies.

    :param name: what messages call it.
    :param make: makes its child.
    """

    def __init__(self, name: str, make: Callable[[], Child]) -> None:
        self.name = name
        self.child: Child | None = None
        self.next_start = 0.0
        self._make = make
        self._started = 0.0
        self._is_proven = False
        self._bad_starts = 0

    def start(self) -> None:
        """Start a process for it."""
        self.child = self._make()
        self._started = time.monotonic()
        self.child.start()

    def note_exit(self) -> None:
        """Take in that its process has died, and plan the next one.

        :raises CannotStartError: it never ran, and there is no hope that it will.
        """
        child, self.child = self.child, None
        code = None if child is None else child.exit_code
        if time.monotonic() - self._started >= _PROVEN_SECONDS:
            self._is_proven = True
            self._bad_starts = 0
        self._bad_starts += 1
        if not self._is_proven and (code == HOPELESS or self._bad_starts >= _MOST_BAD_STARTS):
            raise CannotStartError(f"the {self.name} process cannot start ({_meaning(code)}): see above for the reason")
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self._bad_starts - 1))
        self.next_start = time.monotonic() + pause
        log.error("process.died", process=self.name, ended=_meaning(code), restart_in_seconds=pause)


class Signals:
    """The signals that this process gets, as something to wait for; a repeated one is harmless."""

    def __init__(self) -> None:
        self._stop: signal.Signals | None = None
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _STOP:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only a signal with a handler wakes anybody

    def say_stop(self) -> bool:
        """Tell whether one of them asks this process to stop."""
        return self._stop is not None

    def wait(self, seconds: float) -> None:
        """Return when a signal has come, or after so many seconds."""
        readable, _, _ = select.select([self._reader], [], [], max(0.0, seconds))
        if readable:
            self._reader.recv(4096)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stop = self._stop or signal.Signals(number)


class Supervisor:
    """Runs services until it is told to stop.

    :param shutdown_seconds: how long the processes may take to finish what they have in hand.
    """

    def __init__(self, *, shutdown_seconds: float) -> None:
        self._signals = Signals()
        self._shutdown_seconds = shutdown_seconds
        self._children: dict[int, Child] = {}
        adopt_orphans()

    def run_first(self, child: Child) -> bool:
        """Run a child to its end before anything else starts.

        :returns: whether to go on: False when this process was told to stop.
        """
        self._start(child)
        while child.exit_code is None and not self._signals.say_stop():
            self._signals.wait(1.0)
            self._reap()
        if self._signals.say_stop():
            self._stop()
            return False
        return True

    def run(self, services: list[Service], *, is_ready: Callable[[], bool], announce: Callable[[], None]) -> None:
        """Start the services and keep them running until a signal says to stop; then stop them all.

        :param is_ready: whether everything answers; asked until it does.
        :param announce: called once, when everything does.
        :raises CannotStartError: one of them cannot start; all have been stopped.
        """
        announced = False
        try:
            while not self._signals.say_stop():
                self._restart(services)
                self._signals.wait(_POLL_SECONDS if not announced else self._seconds_to_next_start(services))
                self._reap()
                for service in services:
                    if service.child is not None and service.child.exit_code is not None:
                        service.note_exit()
                if not announced and not self._signals.say_stop() and is_ready():
                    announced = True
                    announce()
            log.info("stopping")
        finally:
            self._stop()

    def _restart(self, services: list[Service]) -> None:
        for service in services:
            if service.child is None and time.monotonic() >= service.next_start:
                service.start()
                if service.child is not None:
                    self._children[service.child.pid] = service.child

    def _start(self, child: Child) -> None:
        child.start()
        self._children[child.pid] = child

    @staticmethod
    def _seconds_to_next_start(services: list[Service]) -> float:
        waiting = [service.next_start - time.monotonic() for service in services if service.child is None]
        return min(waiting, default=3600.0)

    def _reap(self) -> bool:
        """Take in who has died, adopted orphans too.

        :returns: whether anybody is left.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            child = self._children.pop(pid, None)
            if child is not None:
                child.note_exit(status)

    def _stop(self) -> None:
        """Ask every child to stop, wait, and end those that have not."""
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + self._shutdown_seconds + _GRACE_SECONDS
        while self._reap() and self._children and time.monotonic() < deadline:
            self._signals.wait(deadline - time.monotonic())
        for child in self._children.values():
            log.error("process.killed", process=child.title, after_seconds=self._shutdown_seconds + _GRACE_SECONDS)
            child.kill()
        deadline = time.monotonic() + _GRACE_SECONDS  # for what was killed just now or was adopted
        while self._reap() and time.monotonic() < deadline:
            self._signals.wait(deadline - time.monotonic())


def preload() -> None:
    """Load what all children need."""
    for module in PRELOADED:
        importlib.import_module(module)


def work(threads: int, shutdown_seconds: float) -> int | None:
    """Be a Dramatiq master with one worker process; the body of a child."""
    from dramatiq.cli import main

    # Dramatiq would wait half a minute, deaf to signals, for a worker that died before it could say that it is there.
    sys.argv = ["dramatiq", "actors", "-p", "1", "-t", str(threads), "--worker-fork-timeout", "2000"]
    sys.argv += ["--worker-shutdown-timeout", str(int(shutdown_seconds * 1000))]
    code: int | None = main()  # type: ignore[no-untyped-call]  # the command itself, with its words from sys.argv
    return code


def _meaning(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
