"""The pulse: the thread that proves a worker process alive, writes progress and learns what was cancelled."""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from middleware.attempt import Attempt
from middleware.errors import Cancelled, TimeLimitExceeded
from middleware.hand import Hand
from middleware.settings import WorkerSettings
from persistence import pauses, progress, workers
from persistence.attempts import Ending, Outcome, hand_back_unknown
from persistence.database import Database, Session, is_repeatable
from persistence.ledger import Ledger
from persistence.states import Status

_TICK_SECONDS = 0.25
# Nothing new starts 200 ms after a pause: what was claimed ahead of it has to be found in less.
_PAUSES_SECONDS = 0.1
# A claim that the process does not know of is handed back at the second beat that finds it: the first one may have met
# a claim whose delivery was still under way.
_BEATS_BEFORE_HANDING_BACK = 2

log = structlog.get_logger(__name__)


class LedgerStuckError(Exception):
    """The ledger has been in one try for longer than a lease while the database answers others."""


class Pulse:
    """Beats for one worker and keeps its hand and the database of one mind.

    :param register: enters the worker anew, after it was declared dead, and returns its new id.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        database: Database,
        ledger: Ledger,
        hand: Hand,
        register: Callable[[], str],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._ledger = ledger
        self._hand = hand
        self._register = register
        self._on_fatal = on_fatal
        self._closed = threading.Event()
        self._parting = threading.Event()
        self._draining = False
        self._unknown: dict[tuple[str, int], int] = {}
        self._next_beat = 0.0
        self._next_tick = 0.0
        self._thread = threading.Thread(target=self._run, name="greenroom-pulse", daemon=True)

    def start(self) -> None:
        """Start beating; from here on a process that hangs as a whole is ended by its watchdog."""
        # Before the thread's first tick: a job that never lets go of the interpreter may be the first thing that is begun.
        self._arm()
        self._thread.start()

    def part(self) -> None:
        """Take it, from here on, for the goodbye that it is when the worker is gone."""
        self._parting.set()

    def close(self) -> None:
        """Stop beating."""
        self._closed.set()
        self._thread.join(timeout=5)
        faulthandler.cancel_dump_traceback_later()

    def _run(self) -> None:
        try:
            while not self._closed.wait(_PAUSES_SECONDS):
                self._arm()
                self._enforce_time_limits()
                try:
                    self._hand_back_paused()
                    if time.monotonic() >= self._next_tick:
                        self._next_tick = time.monotonic() + _TICK_SECONDS
                        self._tick()
                except Exception as error:
                    if not is_repeatable(error):
                        raise
                    log.warning("pulse.database_away", error=type(error).__name__)
        except BaseException as error:
            # The edge of the process: without a pulse its lease ends, so it must not go on.
            log.critical("pulse.failed", exc_info=True)
            self._on_fatal(error)

    def _arm(self) -> None:
        # Anew at every tick: a process that is frozen, or whose interpreter lock is never let go, misses it.
        faulthandler.dump_traceback_later(self._settings.lease_seconds, exit=True)

    def _enforce_time_limits(self) -> None:
        now = time.monotonic()
        for attempt in self._hand.attempts():
            deadline = attempt.deadline
            if deadline is None or now < deadline:
                continue
            attempt.interrupt(TimeLimitExceeded)
            if now >= deadline + self._settings.lease_seconds and not self._draining:
                # It does not come back to Python: only the end of the process ends it. The others have their time to finish.
                self._draining = True
                log.critical("attempt.stuck", job=attempt.claim.id, type=attempt.claim.type)
                os.kill(os.getpid(), signal.SIGTERM)

    def _tick(self) -> None:
        self._write_progress()
        attempts = self._hand.attempts()
        beats = time.monotonic() >= self._next_beat
        if not attempts and not beats:
            return
        claims = self._write(self._beat if beats else self._look)
        if claims is None:
            if not self._parting.is_set():
                self._start_over()
            return
        if beats:
            if self._ledger.busy_seconds > self._settings.lease_seconds:
                # The database answers here and not there: without its ledger this process must not keep its lease.
                raise LedgerStuckError
            self._next_beat = time.monotonic() + self._settings.heartbeat_seconds
            self._hand_back_unknown(claims)
        self._end_cancelled(attempts, claims)

    def _write(self, write: Callable[[Session], dict[str, tuple[int, str]] | None]) -> dict[str, tuple[int, str]] | None:
        # On SQLite a second writer of the same process would only wait for the first, and may starve.
        if self._database.is_sqlite:
            written: dict[str, tuple[int, str]] | None = self._ledger.write(write)
            return written
        with self._database.write() as session:
            return write(session)

    def _beat(self, session: Session) -> dict[str, tuple[int, str]] | None:
        worker_id = self._ledger.worker_id
        assert worker_id is not None  # noqa: S101 - a worker's ledger always has one
        return workers.claims_of(session, worker_id=worker_id) if workers.beat(session, worker_id=worker_id) else None

    def _look(self, session: Session) -> dict[str, tuple[int, str]]:
        worker_id = self._ledger.worker_id
        assert worker_id is not None  # noqa: S101 - a worker's ledger always has one
        return workers.claims_of(session, worker_id=worker_id)

    def _start_over(self) -> None:
        """Give up every claim of a lost lease and go on as a new worker."""
        lost = self._hand.drop_all()
        log.error("lease.lost", worker=self._ledger.worker_id, claims=len(lost))
        for attempt in lost:
            attempt.cancelled = True
            attempt.interrupt(Cancelled)
        worker_id = self._register()
        self._ledger.worker_id = worker_id
        self._hand.rename(worker_id)
        self._unknown.clear()

    def _end_cancelled(self, attempts: list[Attempt], claims: dict[str, tuple[int, str]]) -> None:
        for attempt in attempts:
            claim_no, status = claims.get(attempt.claim.id, (0, ""))
            if claim_no != attempt.claim.claim_no or status != Status.CANCELLED or attempt.cancelled:
                continue
            attempt.cancelled = True
            if self._hand.drop(attempt):
                # Refused by the fence, which then gives the slot back.
                self._ledger.finish(hand_back(attempt, "cancelled"))
            else:
                attempt.interrupt(Cancelled)

    def _hand_back_paused(self) -> None:
        """Give back what was claimed ahead and has been paused since."""
        waiting = self._hand.waiting()
        if not waiting:
            return
        with self._database.read() as session:
            scopes = pauses.in_force(session)
        for attempt in waiting:
            claim = attempt.claim
            if any(
                scope.covers(type=claim.type, user_id=claim.user_id, queue=claim.queue, run_id=claim.run_id) for scope in scopes
            ) and self._hand.drop(attempt):
                self._ledger.finish(hand_back(attempt, "paused"))

    def _hand_back_unknown(self, claims: dict[str, tuple[int, str]]) -> None:
        known = {(attempt.claim.id, attempt.claim.claim_no) for attempt in self._hand.attempts()}
        unknown = {
            (job_id, claim_no): self._unknown.get((job_id, claim_no), 0) + 1
            for job_id, (claim_no, _) in claims.items()
            if (job_id, claim_no) not in known
        }
        lost = [claim for claim, beats in unknown.items() if beats >= _BEATS_BEFORE_HANDING_BACK]
        self._unknown = {claim: beats for claim, beats in unknown.items() if beats < _BEATS_BEFORE_HANDING_BACK}
        if lost:
            log.warning("pulse.unknown_claims_handed_back", claims=len(lost))
            worker_id = self._ledger.worker_id
            assert worker_id is not None  # noqa: S101 - a worker's ledger always has one
            self._ledger.write(lambda session: hand_back_unknown(session, worker_id=worker_id, claims=lost))

    def _write_progress(self) -> None:
        steps = []
        for attempt in self._hand.attempts():
            step, attempt.progress = attempt.progress, None
            if step is not None:
                steps.append((attempt.claim.id, attempt.claim.claim_no, *step))
        worker_id = self._ledger.worker_id
        if steps and worker_id is not None:
            self._ledger.write(lambda session: progress.write(session, worker_id=worker_id, steps=steps))


def hand_back(attempt: Attempt, reason: str) -> Outcome:
    """Make the outcome that gives a claim and its attempt back."""
    claim = attempt.claim
    return Outcome(claim.id, claim.user_id, claim.claim_no, claim.attempt, Ending.HANDED_BACK, reason=reason)
