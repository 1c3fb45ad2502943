"""The pulse: what keeps a process and the database of one mind, and ends a process that has lost its own."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from middleware import pulse as module
from middleware.attempt import Attempt
from middleware.errors import Cancelled, TimeLimitExceeded
from middleware.hand import Hand
from middleware.pulse import LedgerStuckError, Pulse
from middleware.settings import WorkerSettings
from persistence import cancellation, dispatch, pauses, run_control, runs
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import DatabaseUnavailableError
from persistence.ledger import Ledger
from persistence.runs import NewRun
from tests import factories, waiting
from tests.integration.core.house import House


class Body:
    """A pulse, not started, with the parts that it holds together."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.fatal: list[BaseException] = []
        self.armed: list[float] = []
        monkeypatch.setattr(module.faulthandler, "dump_traceback_later", lambda seconds, exit: self.armed.append(seconds))
        monkeypatch.setattr(module.faulthandler, "cancel_dump_traceback_later", lambda: self.armed.append(0))
        with database.write() as session:
            self.worker = factories.worker(session)
            self.user = factories.user(session)
        settings = WorkerSettings(lease_seconds=4, heartbeat_seconds=0.01)
        self.hand = Hand(settings, worker_id=self.worker, threads=2, types={factories.TYPE: factories.QUEUE})
        self.ledger = Ledger(database, worker_id=self.worker, on_fatal=self.fatal.append, source=Quiet(self.hand))
        self.pulse = Pulse(
            settings,
            database=database,
            ledger=self.ledger,
            hand=self.hand,
            register=self.register,
            on_fatal=self.fatal.append,
        )
        self.ledger.start()

    def register(self) -> str:
        """Enter the worker anew."""
        with self.database.write() as session:
            return factories.worker(session)

    def claims(self, count: int = 1) -> list[Attempt]:
        """Bring claims into the hand."""
        with self.database.write() as session:
            factories.submit(session, self.user, *factories.submissions(count))
            taken = factories.take(session, self.worker, room=count)
        self.hand.deliver(taken)
        return self.hand.attempts()

    def row(self, attempt: Attempt) -> Any:
        """Read a job's row."""
        with self.database.read() as session:
            return factories.fetch(session, "jobs", attempt.claim.id)


class Quiet:
    """A hand that asks for no work by itself."""

    mode = dispatch.Mode.CLAIM

    def __init__(self, hand: Hand) -> None:
        self.settle, self.deliver = hand.settle, hand.deliver

    def wanted(self) -> None:
        """Want nothing."""


@pytest.fixture
def body(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Body]:
    """Give a body whose ledger runs."""
    body = Body(database, monkeypatch)
    yield body
    body.ledger.close()


def test_beats(body: Body) -> None:
    """Each beat raises the number that the sweepers look at, and arms the watchdog anew."""
    body.pulse.start()

    def beats() -> bool:
        with body.database.read() as session:
            return bool(factories.fetch(session, "workers", body.worker).beat_no >= 2)

    waiting.until(beats, "second beat")
    body.pulse.close()
    assert body.armed[-1] == 0
    assert set(body.armed[:-1]) == {4}


def test_the_watchdog_is_there_before_the_first_tick(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs in the first job that it begins is ended like any other."""
    monkeypatch.setattr(module, "_PAUSES_SECONDS", 60.0)
    body.pulse.start()
    assert body.armed == [4]
    body.pulse.close()


def test_a_claim_that_waits_goes_back_when_it_is_paused(body: Body) -> None:
    """What was claimed ahead and is paused by now is handed back with its attempt; what has begun goes on."""
    begun, waits = body.claims(2)
    body.hand.start(begun)
    with body.database.write() as session:
        pauses.pause(session, pauses.Scope(type=factories.TYPE))
    body.pulse._hand_back_paused()
    assert body.ledger.flush(10)
    assert [(row.status, row.attempt) for row in map(body.row, (begun, waits))] == [("processing", 1), ("queued", 0)]
    assert not body.hand.start(waits)


def test_a_claim_that_waits_goes_back_when_its_run_is_paused(body: Body) -> None:
    """So is what belongs to a run that is paused by now, and nothing else; the run's counts follow."""
    new = NewRun("paused")
    with body.database.write() as session:
        factories.submit(session, body.user, run=new)
    body.claims()
    other, waits = sorted(body.claims(), key=lambda attempt: attempt.claim.run_id or "")
    run_control.pause(body.database, run_id=new.id, user_id=None)
    body.pulse._hand_back_paused()
    assert body.ledger.flush(10)
    assert [body.row(attempt).status for attempt in (other, waits)] == ["processing", "queued"]
    with body.database.read() as session:
        assert runs.get(session, run_id=new.id, user_id=None).counts["queued"] == 1


def test_a_cancelled_claim_that_waits_is_let_go(body: Body) -> None:
    """It never begins, and its slot comes back at once."""
    (waits,) = body.claims()
    with body.database.write() as session:
        cancellation.cancel(session, job_id=waits.claim.id, user_id=None)
    body.pulse._tick()
    assert body.ledger.flush(10)
    assert (body.row(waits).status, bool(body.row(waits).slot), body.hand.attempts()) == ("cancelled", False, [])


def test_a_claim_cancelled_before_its_function_began_is_still_interrupted(body: Body) -> None:
    """Between the claim and the function no thread can be interrupted; the function then does not begin at all."""
    (attempt,) = body.claims()
    body.hand.start(attempt)
    with body.database.write() as session:
        cancellation.cancel(session, job_id=attempt.claim.id, user_id=None)
    body.pulse._tick()
    with pytest.raises(Cancelled), attempt.interruptible(10):
        pytest.fail("the function began")


def test_unknown_claims_wait_for_a_second_beat(body: Body) -> None:
    """A claim may be on its way to the hand: only one that two beats in a row have not found there is handed back."""
    with body.database.write() as session:
        factories.submit(session, body.user)
        (taken,) = factories.take(session, body.worker)
    attempt = Attempt(taken)
    body.pulse._tick()
    assert body.row(attempt).status == "processing"
    body.pulse._next_beat = 0.0
    body.pulse._tick()
    assert (body.row(attempt).status, body.row(attempt).attempt) == ("queued", 0)


def test_an_outcome_under_way_is_no_unknown_claim(body: Body) -> None:
    """A claim stays in the hand until its outcome is committed, however many beats there are."""
    (attempt,) = body.claims()
    body.hand.start(attempt)
    body.hand.stop(attempt)
    for _ in range(3):
        body.pulse._next_beat = 0.0
        body.pulse._tick()
    body.ledger.finish(factories.outcome(attempt.claim, Ending.COMPLETED, result="1"))
    assert body.ledger.flush(10)
    assert (body.row(attempt).status, body.hand.attempts()) == ("completed", [])


def test_a_stuck_attempt_drains_its_process(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that a lease after its time limit has not come back is ended with its process, told once to drain."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(module.os, "kill", lambda pid, number: signals.append((pid, number)))
    (attempt,) = body.claims()
    body.hand.start(attempt)
    kinds: list[Any] = []
    monkeypatch.setattr(Attempt, "interrupt", lambda _, kind: kinds.append(kind))
    attempt.deadline = time.monotonic() - 1
    body.pulse._enforce_time_limits()
    assert (kinds, signals) == ([TimeLimitExceeded], [])
    attempt.deadline = time.monotonic() - 5
    body.pulse._enforce_time_limits()
    body.pulse._enforce_time_limits()
    assert [number for _, number in signals] == [signal.SIGTERM]


def test_a_ledger_that_is_stuck_while_the_database_answers_is_fatal(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its ledger a process must not keep its lease."""
    monkeypatch.setattr(Ledger, "busy_seconds", property(lambda _: 5.0))
    if body.database.is_sqlite:
        body.pulse._write = lambda write: {}  # type: ignore[method-assign] # on SQLite the beat goes through the ledger itself
    with pytest.raises(LedgerStuckError):
        body.pulse._tick()


def test_an_outage_passes_and_anything_else_ends_the_process(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is tried again at the next tick; an error of its own ends the pulse loudly."""
    errors: list[Exception] = [DatabaseUnavailableError(), KeyError("mine")]

    def tick() -> None:
        raise errors.pop(0)

    monkeypatch.setattr(body.pulse, "_tick", tick)
    body.pulse.start()
    waiting.until(lambda: body.fatal, "fatal error")
    body.pulse.close()
    assert [type(error) for error in body.fatal] == [KeyError]
    body.fatal.clear()


def test_a_lost_lease_interrupts_what_runs(body: Body) -> None:
    """Everything in hand is given up, running functions are interrupted, and claims are made under a new id."""
    # given
    running, waits = body.claims(2)
    inside, ended = threading.Event(), threading.Event()

    def works() -> None:
        try:
            with running.interruptible(60):
                inside.set()
                while not ended.wait(0.01):
                    pass
        except Cancelled:
            ended.set()

    body.hand.start(running)
    thread = threading.Thread(target=works)
    thread.start()
    waiting.passed(inside, "attempt")
    with body.database.write() as session:
        assert workers_dead(session, body.worker)
    # when
    body.pulse._tick()
    # then
    waiting.passed(ended, "interrupt")
    thread.join()
    assert (running.dropped, waits.dropped, body.hand.attempts()) == (True, True, [])
    assert body.ledger.worker_id != body.worker
    with pytest.raises(Cancelled):
        running.check()


def workers_dead(session: Any, worker_id: str) -> bool:
    """Declare a worker dead."""
    from persistence import workers

    beat_no = factories.fetch(session, "workers", worker_id).beat_no
    return workers.declare_dead(session, worker_id=worker_id, beat_no=beat_no)


def test_beats_go_on_while_every_connection_of_the_pool_is_taken(database_url: str) -> None:
    """Heartbeats have a connection of their own, whoever holds the others."""
    # given
    house = House(database_url, heartbeat_seconds=0.1)
    house.open()
    engine = house.process.database.engine
    engine.pool._timeout = 0.5
    with ExitStack() as held:
        with suppress(PoolTimeoutError):
            while True:
                held.enter_context(engine.connect())

        # when
        seen = beat_of(house)

        # then
        waiting.until(lambda: beat_of(house) > seen + 3, "further beats", seconds=20)
    house.close()
    assert house.fatal == []


def beat_of(house: House) -> int:
    """Read the number of the worker's last beat."""
    with house.database.read() as session:
        beat_no: int = factories.fetch(session, "workers", house.process.ledger.worker_id).beat_no
        return beat_no
