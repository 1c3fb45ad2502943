"""The inbox of a ledger: what threads hand over, gathered into turns for the one thread that writes."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any

from persistence.attempts import Outcome
from persistence.errors import DatabaseUnavailableError
from persistence.turn import MOST_OUTCOMES, MOST_UNITS, Call, Message, Request, Turn

_MOST_PENDING_OUTCOMES = 4096


class Inbox:
    """Takes entries from any thread; bounded, so that a database that is away holds the workers up and not the memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._outcomes: deque[Outcome] = deque()
        self._requests: deque[Request] = deque()
        self._messages: deque[Message] = deque()
        self._calls: deque[Call] = deque()
        self._woken = False
        self._closing = False
        self._given_up = False
        self._in_turn = False
        self._reader_waits = False

    def wake(self) -> None:
        """Have the reader look for work now."""
        with self._changed:
            self._woken = True
            self._tell_reader()

    def put_outcome(self, outcome: Outcome) -> None:
        """Hand over the end of an attempt; waits while too many are pending."""
        with self._changed:
            while len(self._outcomes) >= _MOST_PENDING_OUTCOMES and not self._given_up:
                self._changed.wait()
            self._outcomes.append(outcome)
            self._tell_reader()

    def put(self, entry: Request | Message | Call) -> None:
        """Hand over what a thread waits for.

        :raises DatabaseUnavailableError: nothing is written any more.
        """
        with self._changed:
            if self._given_up or self._closing:
                raise DatabaseUnavailableError
            match entry:
                case Request():
                    self._requests.append(entry)
                case Message():
                    self._messages.append(entry)
                case Call():
                    self._calls.append(entry)
            self._tell_reader()

    def put_back(self, outcomes: list[Outcome], requests: list[Request]) -> None:
        """Put first what a turn had to leave out."""
        with self._changed:
            self._outcomes.extendleft(reversed(outcomes))
            self._requests.extendleft(reversed(requests))

    def next(self, idle_seconds: float) -> Turn | None:
        """Wait for entries, a wake-up or the end of the idle time, and take a turn's worth.

        :returns: an empty turn when there was nothing; None when the inbox is closed and empty.
        """
        with self._changed:
            self._in_turn = False
            self._changed.notify_all()
            if not (self._pending() or self._woken or self._closing) and idle_seconds > 0:
                self._reader_waits = True
                self._changed.wait_for(lambda: self._pending() or self._woken or self._closing, idle_seconds)
                self._reader_waits = False
            if self._closing and not self._pending():
                return None
            self._woken = False
            self._in_turn = True
            return Turn(
                outcomes=_drain(self._outcomes, MOST_OUTCOMES),
                submissions=_drain(self._requests, MOST_UNITS),
                messages=_drain(self._messages, MOST_OUTCOMES),
                calls=_drain(self._calls, 1),
            )

    def take_waiting(self) -> "list[Future[Any]]":
        """Take out what threads wait for, but for the messages, whose claims are a worker's own."""
        with self._changed:
            left = Turn(submissions=list(self._requests), calls=list(self._calls))
            self._requests.clear()
            self._calls.clear()
            return left.futures()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending and no turn is under way.

        :returns: whether that came true in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending() and not self._in_turn, timeout_seconds)

    def close(self) -> None:
        """Take no more from waiting threads; what is pending is still given out."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def give_up(self) -> "list[Future[Any]]":
        """Take nothing more and hold nobody up.

        :returns: what threads still wait for.
        """
        with self._changed:
            self._given_up = True
            self._in_turn = False
            self._changed.notify_all()
            left = Turn([], list(self._requests), list(self._messages), list(self._calls))
            return left.futures()

    @property
    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._closing

    def _pending(self) -> bool:
        return bool(self._outcomes or self._requests or self._messages or self._calls)

    def _tell_reader(self) -> None:
        # Most of the time the reader is in a turn and will look by itself: a notification costs more than this question.
        if self._reader_waits:
            self._changed.notify_all()


def _drain(queue: "deque[Any]", most: int) -> list[Any]:
    return [queue.popleft() for _ in range(min(len(queue), most))]
