"""The ledger: one writer thread a process that commits all that is pending in one transaction, turn after turn.

No linger: a lone write pays one thread hop; under load whatever arrives while a turn commits makes up the next one, so
that statements and syncs a job fall towards one over the size of the batch.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import structlog
from sqlmodel import Session

from persistence import admission, attempts, counters, dependencies, dispatch, due, firing
from persistence.database import Database, is_repeatable
from persistence.errors import DatabaseUnavailableError
from persistence.inbox import Inbox
from persistence.run_counters import hold_back, write_held_back
from persistence.statements import commit, puts_off, spare_the_disk
from persistence.turn import Call, Done, Message, Request, Source, Turn, refuse, wait_for
from persistence.wakeup import announce

_ROUNDS_BEFORE_WAITING = 3
_IDLE_SECONDS, _DUE_EVERY_SECONDS, _FEW = 0.25, 0.05, 8
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)

log = structlog.get_logger(__name__)


class Ledger:
    """The one writer of a process.

    :param database: where to write.
    :param worker_id: the worker whose claims and outcomes these are; None in the API.
    :param source: asked at every turn for the work that is wanted; None where jobs are not consumed here.
    :param on_fatal: called with an exception that no turn can get past; the process must end.
    :param announces: whether other processes are told of admitted jobs; a worker looks for work itself.
    """

    def __init__(
        self,
        database: Database,
        *,
        worker_id: str | None = None,
        source: Source | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        announces: bool = False,
    ) -> None:
        self._database = database
        self.worker_id = worker_id
        self._source = source
        self._on_fatal = on_fatal
        self._announces = announces
        self._inbox = Inbox()
        self._next_due = 0.0 if worker_id is not None else math.inf  # only a worker's ledger lets due jobs in
        self._kept_back = 0
        self._finished: list[str] = []
        self._session: Session | None = None
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="greenroom-ledger", daemon=True)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    # What other threads ask for.

    def wake(self) -> None:
        """Have the ledger look for work now."""
        self._inbox.wake()

    def finish(self, outcome: attempts.Outcome) -> None:
        """Hand over the end of an attempt; waits only while too many are pending."""
        self._inbox.put_outcome(outcome)

    def submit(self, unit: admission.Unit, *, timeout_seconds: float = 30.0) -> admission.Admitted:
        """Admit jobs and wait until that is committed.

        :raises GreenroomError: why they were not admitted.
        :raises DatabaseUnavailableError: no commit within the time; whether one comes later cannot be known, so a caller
            who wants to be sure repeats with an idempotency key.
        """
        admitted: admission.Admitted = self._wait(Request(unit), timeout_seconds)
        return admitted

    def hand_in(self, unit: admission.Unit) -> "Future[admission.Admitted]":
        """Have jobs admitted without waiting for it; cancelled in time, the future takes the jobs back.

        :raises DatabaseUnavailableError: nothing is written any more.
        """
        self._inbox.put(entry := Request(unit))
        return entry.future

    def ask(self, job_id: str, dispatch_no: int, *, hold: Callable[[dispatch.Taken], Any], ahead: bool = False) -> "Future[Any]":
        """Ask for the claim of a message's job without waiting for it.

        :param hold: called with the claim, on the ledger's thread, before the future has its answer.
        :param ahead: no thread is free for it yet, so only a job that may be claimed ahead is to be claimed.
        :returns: what `hold` returns; None when the message is a duplicate or an old one, or its job is to wait for a thread.
        :raises DatabaseUnavailableError: nothing is written any more.
        """
        entry = Message(job_id, dispatch_no, hold, ahead)
        self._inbox.put(entry)
        return entry.future

    def write(self, write: Callable[[Session], Any], *, timeout_seconds: float = 30.0) -> Any:
        """Run a write in a transaction of this thread and wait for the commit.

        :returns: what the write returned.
        """
        return self._wait(Call(write), timeout_seconds)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending.

        :returns: whether that came true in time.
        """
        return self._inbox.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Write what is pending and stop."""
        self._inbox.close()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    @property
    def busy_seconds(self) -> float:
        """How long the try at a turn that is under way has taken so far."""
        return 0.0 if (since := self._busy_since) is None else time.monotonic() - since

    def _wait(self, entry: Request | Call, timeout_seconds: float) -> Any:
        self._inbox.put(entry)
        return wait_for(entry.future, timeout_seconds)

    # The writer's own thread.

    def _run(self) -> None:
        try:
            while (turn := self._inbox.next(min(_IDLE_SECONDS, self._next_due - time.monotonic()))) is not None:
                self._repeat(turn, looks=not self._inbox.is_closing)
        except BaseException as error:
            # The edge of the process: a ledger that cannot go on takes its process with it, so that the lease ends.
            for future in self._inbox.give_up():
                refuse(future, DatabaseUnavailableError())
            log.critical("ledger.failed", exc_info=True)
            if self._on_fatal is not None:
                self._on_fatal(error)
        finally:
            self._roll_back()

    def _repeat(self, turn: Turn, *, looks: bool) -> None:
        """Write a turn, again and again while the database is away; whatever is at fault itself is set apart."""
        tries = 0
        while True:
            self._busy_since = time.monotonic()
            try:
                self._write(turn, looks=looks)
            except Exception as error:  # noqa: BLE001 - told apart below; what is at fault itself is raised to its caller
                self._roll_back()
                self._busy_since = None
                if is_repeatable(error):
                    pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
                    tries += 1
                    if tries == 1 or tries % 10 == 0:
                        log.warning("ledger.database_away", error=type(error).__name__, tries=tries)
                    self._refuse_waiting(turn, error, tries)
                    if not turn:
                        return
                    time.sleep(pause)
                    continue
                self._bisect(turn, error)
            self._busy_since = None
            return

    def _refuse_waiting(self, turn: Turn, error: Exception, tries: int) -> None:
        """Answer callers of the API rather than let them hang while the database is away; a worker's writes are kept."""
        if tries < len(_RETRY_SECONDS):
            return
        for future in [*turn.futures(with_messages=False), *self._inbox.take_waiting()]:
            refuse(future, error)
        turn.submissions, turn.calls = [], []

    def _bisect(self, turn: Turn, error: Exception) -> None:
        """Write each part of a turn on its own, so that one bad part does not take the others with it."""
        parts = [Turn(outcomes=[outcome]) for outcome in turn.outcomes]
        parts += [Turn(submissions=[entry]) for entry in turn.submissions] + [Turn(messages=[entry]) for entry in turn.messages]
        parts += [Turn(calls=[entry]) for entry in turn.calls]
        if not parts:
            raise error
        if len(parts) > 1:
            for part in parts:
                self._repeat(part, looks=False)
            return
        for future in turn.futures():
            refuse(future, error)
        for outcome in turn.outcomes:
            if outcome.reason == attempts.RESULT_REFUSED:
                raise error
            log.error("ledger.result_refused", job=outcome.job_id, error=type(error).__name__)
            self._repeat(Turn(outcomes=[attempts.refused(outcome, error)]), looks=False)

    def _write(self, turn: Turn, *, looks: bool) -> None:
        turn.forget_who_gave_up()
        wanted = self._source.wanted() if looks and self._source is not None else None
        promotes = looks and self.worker_id is not None and time.monotonic() >= self._next_due
        if not turn and wanted is None and not promotes:
            return
        session = self._session = self._session or hold_back(puts_off(self._database.session()))
        done = self._write_entries(session, turn)
        promoted = promotes and self._promote(session)
        holds = bool(turn) or promoted  # users may be locked: it must not wait for others
        taken = []
        if wanted is not None and self._source is not None:
            taken = dispatch.take(session, wanted, self._source.mode, may_wait=not holds)
            if taken and not holds and self._source.mode is dispatch.Mode.SEND:
                spare_the_disk(session)  # lost slots are given again, and their messages are refused or as good as new ones
        for entry in done.written.submissions:
            entry.repeated = True
        if self._announces and done.written.submissions:
            announce(session)
        write_held_back(session)
        commit(session)
        if promotes:
            self._finished = []
        self._keep_back(turn, done.written)
        self._note_finished(done.written.outcomes)
        self._tell(done, taken)

    def _tell(self, done: Done, taken: list[dispatch.Taken]) -> None:
        """Let everybody know what has been committed."""
        if self._source is not None:
            self._source.settle(done.written.outcomes)
            self._source.deliver(taken)
        done.tell()

    def _write_entries(self, session: Session, turn: Turn) -> Done:
        """Write what threads have handed over, but for the entries of users that are locked elsewhere."""
        done = Done(Turn(messages=turn.messages, calls=turn.calls))
        if turn.outcomes or turn.submissions:
            users = self._lock(session, turn)
            outcomes = [outcome for outcome in turn.outcomes if outcome.user_id in users.rows]
            turn.forget_who_gave_up()  # again, for the locks may have taken their time
            submissions = [entry for entry in turn.submissions if entry.unit.user_id in users.rows]
            if outcomes and self.worker_id is not None:
                attempts.finish(session, self.worker_id, outcomes, users)
            repeated = any(entry.repeated for entry in submissions)
            # What an outcome changes in the counters is not in what was read before it.
            unchanged = None if outcomes else users
            admitted = admission.submit(session, [entry.unit for entry in submissions], repeated=repeated, users=unchanged)
            done.written.outcomes, done.written.submissions = outcomes, submissions
            done.answers += zip((entry.future for entry in submissions), admitted, strict=True)
        if turn.messages and self.worker_id is not None:
            asked, ahead = turn.asked()
            claims = attempts.claim(session, self.worker_id, asked, ahead=ahead)
            # A message that came twice is answered once: two threads must not work on one claim.
            done.claims = [(m, claims.pop((m.job_id, m.dispatch_no), None)) for m in turn.messages]
        done.answers += [(call.future, call.write(session)) for call in turn.calls]
        return done

    def _note_finished(self, outcomes: list[attempts.Outcome]) -> None:
        """Remember what has finished, for the jobs that wait for it: they are let go in a later transaction."""
        finished = [outcome.job_id for outcome in outcomes if outcome.is_final]
        self._finished += finished
        if 0 < len(finished) <= _FEW:
            self._next_due = 0.0

    def _promote(self, session: Session) -> bool:
        if self._finished:
            dependencies.settle(session, parents=self._finished)
        promoted = due.promote(session) + firing.fire(session)
        wait = min(_IDLE_SECONDS, due.seconds_to_next(session))
        self._next_due = time.monotonic() + max(_DUE_EVERY_SECONDS, wait)
        return bool(self._finished) or promoted > 0

    def _lock(self, session: Session, turn: Turn) -> counters.LockedUsers:
        """Lock those users of a turn that are free, and from time to time all of them."""
        wanted = {outcome.user_id for outcome in turn.outcomes} | {entry.unit.user_id for entry in turn.submissions}
        waits_first = self._kept_back >= _ROUNDS_BEFORE_WAITING
        self._kept_back = 0 if waits_first else self._kept_back
        return counters.lock_free_users(session, wanted, waits_first=waits_first)

    def _keep_back(self, turn: Turn, written: Turn) -> None:
        """Put what was left out of a turn first in the next one."""
        if len(written.outcomes) == len(turn.outcomes) and len(written.submissions) == len(turn.submissions):
            self._kept_back = 0
            return
        self._kept_back += 1
        done = {id(entry) for entry in (*written.outcomes, *written.submissions)}
        self._inbox.put_back(
            [entry for entry in turn.outcomes if id(entry) not in done],
            [entry for entry in turn.submissions if id(entry) not in done],
        )

    def _roll_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()  # its connection may be what is broken: the pool looks before it lends it again
