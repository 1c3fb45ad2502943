"""What a worker process has in hand: every claim from the moment it is delivered until its outcome is committed."""

import fnmatch
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping

from middleware.attempt import Attempt
from middleware.settings import WorkerSettings
from persistence.attempts import Outcome
from persistence.dispatch import Mode, Taken, Wanted

# A type is claimed ahead when its attempts take less than this; the average forgets older attempts at this rate.
_FAST_SECONDS = 0.02
_FORGETTING = 0.1


class Hand:
    """The claims of a process; for the SQL broker it also asks for more and passes them to the consumers.

    :param worker_id: the worker that claims.
    :param threads: how many jobs can be worked on at a time.
    :param types: the queue of each job type that this process performs.
    """

    mode = Mode.CLAIM

    def __init__(self, settings: WorkerSettings, *, worker_id: str, threads: int, types: Mapping[str, str]) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self._threads = threads
        self._types = dict(types)
        self._queues: tuple[str, ...] = ()
        self._limits = limits_of(types, settings.type_concurrency)
        self._changed = threading.Condition()
        self._attempts: dict[str, Attempt] = {}
        self._delivered: dict[str, deque[Attempt]] = {}
        self._running = 0
        self._waiting = 0
        self._arrived = 0
        self._parked = 0
        self._room_is_wanted = False
        self._cost: dict[str, float] = {}
        self._closed = False

    # Asking for work: the ledger's side of it.

    def wanted(self) -> Wanted | None:
        """Say what may be claimed now; None when there is no room worth a query."""
        with self._changed:
            if self._closed or not self._queues:
                return None
            idle = self._threads - self._running - self._waiting
            fast = self._fast()
            ahead = self._ahead(fast)
            room = idle + ahead
            if room <= 0 or (idle <= 0 and room * 2 < ahead):
                return None
            return Wanted(
                worker_id=self._worker_id,
                queues=self._queues,
                types=self._types,
                room=room,
                idle=max(0, idle),
                fast=fast,
                cost_seconds=dict(self._cost),
                limits=self._limits,
            )

    def _ahead(self, fast: Iterable[str]) -> int:
        slowest = max((self._cost[kind] for kind in fast), default=None)
        if slowest is None:
            return 0
        worth = self._threads * self._settings.claim_ahead_seconds / max(slowest, 1e-6)
        return int(min(self._settings.claim_ahead, worth))

    def deliver(self, taken: list[Taken]) -> None:
        """Receive claims and pass them to the consumers of their queues."""
        if not taken:
            return
        with self._changed:
            for claim in taken:
                attempt = self._attempts[claim.id] = Attempt(claim)
                self._delivered.setdefault(claim.queue, deque()).append(attempt)
            self._waiting += len(taken)
            self._changed.notify_all()

    def open(self, queue: str) -> None:
        """Begin to want the work of a queue, for somebody is there now to pass it on."""
        with self._changed:
            if queue not in self._queues:
                self._queues = (*self._queues, queue)

    def next(self, queue: str, timeout_seconds: float) -> Attempt | None:
        """Wait for the next claim of a queue; None when the time is up."""
        if queue not in self._queues:
            self.open(queue)
        with self._changed:
            waiting = self._delivered.setdefault(queue, deque())
            self._changed.wait_for(lambda: waiting or self._closed, timeout_seconds)
            return waiting.popleft() if waiting and not self._closed else None

    # Messages of other brokers, from their arrival until a thread has begun with them.

    def arrive(self, kind: str) -> bool | None:
        """Take note of a message, and say how its job may be claimed now.

        :returns: True ahead of a free thread, False for one that is free; None: a thread is to ask when it gets there.
        """
        with self._changed:
            free, fast = self._free(), self._fast()
            self._arrived += 1
            if free > 0 and not self._closed:
                return False
            if kind in fast and free + self._ahead(fast) > 0 and not self._closed:
                return True
            self._parked += 1
            return None

    def leave(self, *, was_parked: bool) -> None:
        """Take note that a thread has begun with a message, or has found that there is nothing to begin.

        :param was_parked: whether the thread itself was to ask for the claim.
        """
        with self._changed:
            self._arrived -= 1
            self._parked -= was_parked
            if self._room_is_wanted:
                self._changed.notify_all()

    def room(self, timeout_seconds: float) -> int:
        """Wait until there is room for messages that are not yet here.

        :returns: for how many; 0 when the time is up.
        """
        with self._changed:
            self._room_is_wanted = True
            self._changed.wait_for(lambda: self._closed or self._room() > 0, timeout_seconds)
            self._room_is_wanted = False
            return 0 if self._closed else max(0, self._room())

    def _free(self) -> int:
        return self._threads - self._running - self._arrived

    def _room(self) -> int:
        # Whether a message is of a fast type is seen when it is here: no more than one a thread may turn out to have to wait.
        return min(self._free() + self._ahead(self._fast()), self._threads - self._parked)

    def _fast(self) -> list[str]:
        return [kind for kind, seconds in self._cost.items() if seconds < _FAST_SECONDS]

    # The course of an attempt.

    def hold(self, claim: Taken) -> Attempt:
        """Take into the hand what was claimed by a message."""
        with self._changed:
            attempt = self._attempts[claim.id] = Attempt(claim)
            self._waiting += 1
            return attempt

    def start(self, attempt: Attempt) -> bool:
        """Begin the work on a claim.

        :returns: whether it is still this process's to do.
        """
        with self._changed:
            if attempt.dropped:
                return False
            attempt.started = time.monotonic()
            self._waiting -= 1
            self._running += 1
            return True

    def stop(self, attempt: Attempt) -> None:
        """End the work on a claim, whose outcome has been handed over; it stays in the hand until that is committed."""
        seconds = attempt.seconds
        with self._changed:
            self._running -= 1
            kind = attempt.claim.type
            known = self._cost.get(kind)
            self._cost[kind] = seconds if known is None else known + _FORGETTING * (seconds - known)
            if self._closed or self._room_is_wanted:
                self._changed.notify_all()

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Let go of claims whose outcome is committed."""
        with self._changed:
            for outcome in outcomes:
                attempt = self._attempts.get(outcome.job_id)
                if attempt is not None and attempt.claim.claim_no == outcome.claim_no:
                    del self._attempts[outcome.job_id]
            self._changed.notify_all()

    # What the pulse and the shutdown look at.

    def attempts(self) -> list[Attempt]:
        """List all claims in hand."""
        with self._changed:
            return list(self._attempts.values())

    def waiting(self) -> list[Attempt]:
        """List the claims that no thread has begun."""
        with self._changed:
            return [a for a in self._attempts.values() if not a.started and not a.dropped] if self._waiting else []

    def drop_waiting(self) -> list[Attempt]:
        """Give up the claims that no thread has begun; none of them will begin any more."""
        with self._changed:
            return self._drop([attempt for attempt in self._attempts.values() if not attempt.started])

    def drop(self, attempt: Attempt) -> bool:
        """Give up one claim that no thread has begun.

        :returns: whether it had not been begun.
        """
        with self._changed:
            return bool(self._drop([attempt])) if not attempt.started else False

    def drop_all(self) -> list[Attempt]:
        """Give up every claim, as after a lost lease; what is written with them will be refused."""
        with self._changed:
            given_up = list(self._attempts.values())
            self._drop([attempt for attempt in given_up if not attempt.started])
            for attempt in given_up:
                attempt.dropped = True
            self._attempts.clear()
            return given_up

    def _drop(self, attempts: list[Attempt]) -> list[Attempt]:
        given_up = [attempt for attempt in attempts if not attempt.dropped]
        for attempt in given_up:
            attempt.dropped = True
            waiting = self._delivered.get(attempt.claim.queue)
            if waiting and attempt in waiting:
                waiting.remove(attempt)
        self._waiting -= len(given_up)
        return given_up

    def close(self) -> None:
        """Ask for no more work and deliver none."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def rename(self, worker_id: str) -> None:
        """Claim under another worker's id from now on."""
        with self._changed:
            self._worker_id = worker_id

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until no thread works on a claim.

        :returns: whether that came true in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout_seconds)

    @property
    def is_full(self) -> bool:
        """Whether anything is being worked on or waits to be."""
        with self._changed:
            return bool(self._attempts)


def limits_of(types: Iterable[str], concurrency: Mapping[str, int]) -> dict[str, str]:
    """Find for each job type the pattern that limits it: the longest one that matches."""
    limits = {}
    for kind in types:
        matching = [pattern for pattern in concurrency if fnmatch.fnmatchcase(kind, pattern)]
        if matching:
            limits[kind] = max(matching, key=len)
    return limits
