"""Upkeep: finished jobs are archived and later deleted with all that is over, in pieces so short that nobody waits for one."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from middleware.settings import WorkerSettings
from persistence import archive, browser_sessions, prune, sweeps, webhook_deliveries
from persistence.database import Database, Session

# A piece is to take so long; it grows while it takes less than half of that, and shrinks at once when it took more.
_PIECE_SECONDS = 0.01
_LEAST, _FIRST, _MOST = 1, 20, 1_000
# The sweeper has other things to do: what is not done in this time goes on after its next sweep.
_TURN_SECONDS = 1.0


class Step(Protocol):
    """What is done in pieces."""

    def __call__(self, session: Session, *, older_than_seconds: float, most: int) -> int:
        """Do one piece; how many rows it was."""


class Pieces:
    """A step whose pieces are as large as their time allows.

    :param clock: seconds that never go back.
    """

    def __init__(self, step: Step, *, older_than_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = step
        self._older_than_seconds = older_than_seconds
        self._clock = clock
        self.most = _FIRST

    def do_one(self, database: Database) -> tuple[int, float]:
        """Do one piece in a transaction of its own.

        :returns: how many rows, none if there is nothing to do or somebody else is at it; and the seconds it took.
        """
        with database.write() as session:
            # From here: on SQLite it is only now that the others have to wait.
            started = self._clock()
            done = 0
            if sweeps.lead(session):
                done = self._step(session, older_than_seconds=self._older_than_seconds, most=self.most)
        took = self._clock() - started
        if took > _PIECE_SECONDS:
            self.most = max(_LEAST, int(self.most * _PIECE_SECONDS / took))
        elif done and took < _PIECE_SECONDS / 2:
            self.most = min(_MOST, self.most * 2)
        return done, took


class Upkeep:
    """Rounds of archiving and deleting, one every GREENROOM_UPKEEP_SECONDS; the sweeper's thread calls it.

    :param closed: ends a turn early.
    """

    def __init__(self, settings: WorkerSettings, *, database: Database, closed: threading.Event) -> None:
        self._database = database
        self._closed = closed
        self._every = settings.upkeep_seconds
        retention_seconds = settings.retention_hours * 3600
        self._steps = [
            Pieces(archive.archive, older_than_seconds=settings.archive_hours * 3600),
            Pieces(prune.prune, older_than_seconds=retention_seconds),
            Pieces(webhook_deliveries.prune, older_than_seconds=retention_seconds),
            Pieces(browser_sessions.prune, older_than_seconds=0.0),
        ]
        self._left = list(self._steps)
        self._next = 0.0

    def go_on(self) -> None:
        """Begin a round if one is due, or go on with the one that was left unfinished, for a second at most."""
        started = time.monotonic()
        if started < self._next:
            return
        while self._left and not self._closed.is_set() and time.monotonic() - started < _TURN_SECONDS:
            pieces = self._left[0]
            done, took = pieces.do_one(self._database)
            # Steps take turns, so that a long archiving does not keep the deleting waiting.
            self._left = [*self._left[1:], pieces] if done else self._left[1:]
            # Whoever waited for the lock of SQLite asks again only now and then: it has to find it free.
            self._closed.wait(2 * took if done else 0)
        if not self._left:
            self._left = list(self._steps)
            self._next = started + self._every
