"""An attempt's interrupts: they reach the function and nothing else, once at the most."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from middleware import attempt as attempts
from middleware.attempt import Attempt
from middleware.errors import Cancelled, ShuttingDown, TimeLimitExceeded
from tests import factories, waiting

ROOT = Path(__file__).parents[3]


@pytest.fixture
def attempt() -> Attempt:
    """Make an attempt."""
    return Attempt(factories.claim())


class Stage:
    """A thread that works on an attempt until it is interrupted or told to stop."""

    def __init__(self, attempt: Attempt, after: Callable[[], Any] = lambda: None) -> None:
        self.inside, self.stop = threading.Event(), threading.Event()
        self.caught: list[BaseException] = []
        self.after_ended = False
        self._attempt, self._after = attempt, after
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        waiting.passed(self.inside, "attempt")

    def _run(self) -> None:
        try:
            with self._attempt.interruptible(60):
                self.inside.set()
                while not self.stop.wait(0.005):
                    pass
        except BaseException as error:
            self.caught.append(error)
        self._after()
        self.after_ended = True


def test_an_interrupt_ends_the_function(attempt: Attempt) -> None:
    """The exception is raised in the working thread."""
    stage = Stage(attempt)
    assert attempt.interrupt(TimeLimitExceeded)
    stage.thread.join(10)
    assert [type(error) for error in stage.caught] == [TimeLimitExceeded]


def test_the_first_interrupt_is_the_only_one(attempt: Attempt) -> None:
    """A time limit and a cancellation at once are one interrupt, so that no second one hits what comes after."""
    stage = Stage(attempt)
    assert [attempt.interrupt(kind) for kind in (Cancelled, TimeLimitExceeded, ShuttingDown)] == [True, False, False]
    stage.thread.join(10)
    assert ([type(error) for error in stage.caught], stage.after_ended) == ([Cancelled], True)


def test_nothing_is_interrupted_before_or_after(attempt: Attempt) -> None:
    """Before the function begins and when it has ended there is no thread to interrupt."""
    assert not attempt.interrupt(Cancelled)
    stage = Stage(attempt)
    stage.stop.set()
    stage.thread.join(10)
    assert not attempt.interrupt(Cancelled)
    assert (stage.caught, attempt.deadline) == ([], None)


def test_an_interrupt_in_the_last_moment_does_not_get_out() -> None:
    """However close to the end it comes, it hits the function or nothing: never the hooks after it, nor the next job."""
    for _ in range(200):
        attempt = Attempt(factories.claim())
        escaped: list[BaseException] = []

        def afterwards(escaped: list[BaseException] = escaped) -> None:
            try:
                for _ in range(300):
                    pass
            except BaseException as error:
                escaped.append(error)

        stage = Stage(attempt, afterwards)
        rival = threading.Thread(target=attempt.interrupt, args=(Cancelled,))
        stage.stop.set()
        rival.start()
        rival.join()
        stage.thread.join(10)
        assert (escaped, stage.after_ended) == ([], True)
        assert len(stage.caught) <= 1


TRACED = """
import threading
from middleware.attempt import Attempt
from middleware.errors import Cancelled
from tests import factories

def traced():
    return None

def works():
    for number in range(3):
        try:
            with attempts[number].interruptible(60):
                inside.release()
                while number < 2:
                    pass
        except Cancelled:
            pass
        traced()

threading.settrace(lambda *_: None)
inside, attempts = threading.Semaphore(0), [Attempt(factories.claim()) for _ in range(3)]
thread = threading.Thread(target=works)
thread.start()
for attempt in attempts[:2]:
    inside.acquire()
    attempt.interrupt(Cancelled)
thread.join()
print("ended")
"""


def test_an_interrupt_leaves_the_interpreter_as_it_was() -> None:
    """Under a tracer too, as coverage and debuggers are, the thread goes on; in a process of its own, for it might not."""
    done = subprocess.run([sys.executable, "-c", TRACED], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_a_function_cancelled_before_it_begins_does_not_begin(attempt: Attempt) -> None:
    """What was cancelled between claim and function finds out at its beginning."""
    attempt.cancelled = True
    with pytest.raises(Cancelled), attempt.interruptible(10):
        pytest.fail("it began")
    assert attempt.deadline is None


def test_each_thread_has_its_own_attempt(attempt: Attempt) -> None:
    """The current attempt is the thread's, and is taken off at its end."""
    attempts.begin(attempt)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(attempts.current()))
    thread.start()
    thread.join()
    assert (attempts.current(), seen) == (attempt, [None])
    assert attempts.end() is attempt
    assert (attempts.current(), attempts.end()) == (None, None)
