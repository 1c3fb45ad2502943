"""Waiting for what other threads and processes do, with a deadline and a reason."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

DEADLINE_SECONDS = 12.0
_PAUSE_SECONDS = 0.01


def until(look: Callable[[], Found], what: str, *, seconds: float = DEADLINE_SECONDS) -> Found:
    """Look again and again until there is something, and give it.

    :raises AssertionError: the time is up; the message says what did not come.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"within {seconds:g} seconds there was no {what}"
        time.sleep(_PAUSE_SECONDS)


def passed(event: threading.Event, what: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a signal of another thread.

    :raises AssertionError: the time is up.
    """
    assert event.wait(seconds), f"within {seconds:g} seconds there was no {what}"
