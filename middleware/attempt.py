"""The attempt that a thread is working on: its claim, what it will commit, and the interrupt that may end it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception

from middleware.errors import Cancelled
from persistence.admission import Submission
from persistence.attempts import Effect
from persistence.dispatch import Taken

# So many steps of a loop are more than an interrupt takes to arrive: the interpreter looks for one at each of them.
_STEPS = 100

_here = threading.local()


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at a job in this process, from the claim to the outcome."""

    claim: Taken
    started: float = 0.0
    thread_id: int | None = None
    deadline: float | None = None
    result: str | None = None
    follow_ups: list[Submission] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    progress: tuple[float, str | None] | None = None
    cancelled: bool = False
    dropped: bool = False
    interrupted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def interruptible(self, limit_seconds: float) -> Iterator[None]:
        """Let this thread be interrupted within the block, and nowhere else.

        After the block no interrupt can arrive any more: none is raised once it is disarmed, and one that is on its way is
        met here. So the hooks that write the outcome are never hit.

        :param limit_seconds: the attempt is interrupted after this long.
        """
        try:
            with self._lock:
                self.thread_id = threading.get_ident()
                self.deadline = time.monotonic() + limit_seconds
            self.check()  # what was cancelled a moment ago found no thread to interrupt
            yield
        finally:
            with self._lock:
                thread_id, self.thread_id, self.deadline = self.thread_id, None, None
            if thread_id is not None and self.interrupted:
                # Taken back with a NULL it would leave its signal set, and under a tracer, as coverage is one, Python 3.11 then
                # never gets into the next function. It comes at one of the next steps, if it has not come already.
                with suppress(Interrupt):
                    for _ in range(_STEPS):
                        pass

    def check(self) -> None:
        """Stop here if the job was cancelled.

        :raises Cancelled: it was.
        """
        if self.cancelled:
            raise Cancelled

    @property
    def seconds(self) -> float:
        """How long the work has taken so far."""
        return time.monotonic() - self.started

    def interrupt(self, kind: type[Interrupt]) -> bool:
        """Raise an exception in the working thread, once at the most.

        :returns: whether the thread was there to be interrupted.
        """
        with self._lock:
            if self.thread_id is None or self.interrupted:
                return False
            self.interrupted = True
            raise_thread_exception(self.thread_id, kind)  # type: ignore[no-untyped-call]
            return True


def begin(attempt: Attempt) -> None:
    """Make this the attempt of the current thread."""
    attempt.started = time.monotonic()
    _here.attempt = attempt


def current() -> Attempt | None:
    """Return the attempt of the current thread."""
    return getattr(_here, "attempt", None)


def end() -> Attempt | None:
    """Take the attempt off the current thread."""
    attempt = current()
    _here.attempt = None
    return attempt
