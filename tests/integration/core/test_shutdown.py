"""A worker's end in good order: nothing that did not begin costs an attempt, and what runs has its time."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from middleware.process import WorkerProcess
from persistence import dispatch
from persistence.verify import verify
from tests import factories, waiting
from tests.integration.core.house import House
from tests.integration.core.repertoire import Repertoire

Open = Callable[..., tuple[House, Repertoire]]


@pytest.fixture(params=["sql", "stub"])
def broker(request: pytest.FixtureRequest) -> str:
    """Run a test with the SQL broker and with one that carries messages."""
    return str(request.param)


@pytest.fixture
def opened(broker: str, database_url: str) -> Iterator[Open]:
    """Open a house of the test's own; in the end every invariant must hold."""
    houses: list[House] = []

    def make(*, threads: int = 1, **settings: Any) -> tuple[House, Repertoire]:
        house = House(database_url, broker=broker, **settings)
        houses.append(house)
        with house.declaring():
            plays = Repertoire()
        house.open(threads)
        return house, plays

    yield make
    for house in houses:
        house.shut()
        with house.database.read() as session:
            violations = verify(session)
        house.close()
        assert (violations, house.fatal) == ([], [])


def shut(house: House) -> threading.Thread:
    """Begin to stop the worker."""
    thread = threading.Thread(target=house.shut)
    process = house.process
    thread.start()
    waiting.until(lambda: process.hand._closed, "begin of the shutdown")
    return thread


def test_what_waits_in_the_process_goes_back_unharmed(opened: Open) -> None:
    """Jobs claimed ahead of a free thread are handed back with their attempt; the one that runs has its time to finish."""
    # given
    house, plays = opened(claim_ahead_seconds=10.0)
    house.process.hand._cost["plays.square"] = 0.001
    running = house.submit(plays.waits)
    waiting.passed(plays.gate(running).entered, "attempt")
    ahead = [house.submit(plays.square) for _ in range(5)]
    if house.process._outbox is None:
        waiting.until(lambda: len(house.process.hand.attempts()) > 1, "claim ahead")
    # when
    thread = shut(house)
    rows = [waiting.until(partial(house.queued, job), "job that was handed back") for job in ahead]
    plays.gate(running).opened.set()
    thread.join()
    # then
    assert [(row.attempt, row.rescues) for row in rows] == [(0, 0)] * 5
    row = house.row(running)
    assert (row.status, row.attempt, row.rescues) == ("completed", 1, 0)
    (worker,) = house.select("SELECT * FROM workers")
    assert worker.stopped_at is not None


def test_a_beat_after_the_goodbye_brings_no_worker_back(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last beat may come after the worker has said goodbye: that is no lost lease, and no new worker is registered."""
    house, _ = opened()
    pulse = house.process._pulse
    close = pulse.close

    def beat_once_more() -> None:
        pulse._next_beat = 0.0
        pulse._tick()
        close()

    monkeypatch.setattr(pulse, "close", beat_once_more)
    house.shut()
    (worker,) = house.select("SELECT * FROM workers")
    assert worker.stopped_at is not None


def test_what_does_not_finish_in_time_is_interrupted_and_handed_back(opened: Open) -> None:
    """After the grace an attempt is interrupted and does not count."""
    house, plays = opened(threads=2, shutdown_seconds=0.2)
    jobs = [house.submit(plays.waits), house.submit(plays.sleeps, {"number": 20})]
    waiting.until(lambda: set(plays.calls) == set(jobs), "attempts")

    house.shut()

    rows = [house.row(job) for job in jobs]
    assert [(row.status, row.attempt, row.rescues) for row in rows] == [("queued", 0, 0)] * 2
    assert [house.history(job)[-1][2] for job in jobs] == ["worker stopped"] * 2


@pytest.mark.parametrize("broker", ["sql"])
def test_a_turn_that_was_under_way_costs_no_attempt(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that a turn brings after the shutdown has begun are handed back too, not left for the rescue."""
    # given
    house, plays = opened()
    hand, process = house.process.hand, house.process
    running = house.submit(plays.waits)
    waiting.passed(plays.gate(running).entered, "attempt")
    jobs = [house.submit(plays.square) for _ in range(3)]
    drop_waiting = hand.drop_waiting

    def and_then_a_turn_ends() -> Any:
        dropped = drop_waiting()
        monkeypatch.setattr(hand, "drop_waiting", drop_waiting)
        with house.database.write() as session:
            taken = factories.take(session, process.ledger.worker_id, types=["plays.square"])
        assert len(taken) == 3
        hand.deliver(taken)
        return dropped

    monkeypatch.setattr(hand, "drop_waiting", and_then_a_turn_ends)
    # when
    thread = shut(house)
    plays.gate(running).opened.set()
    thread.join()
    # then
    assert [(row.status, row.attempt, row.rescues) for row in map(house.row, jobs)] == [("queued", 0, 0)] * 3


def test_another_worker_goes_on(opened: Open) -> None:
    """A house that is shut can be opened again, and does what was left."""
    house, plays = opened()
    house.shut()
    job = house.submit(plays.square, {"number": 3})
    house.open()
    assert house.until(job, "completed").result == '{"square":9}'


def test_many_jobs_survive_many_shutdowns(opened: Open) -> None:
    """Workers that come and go under load burn no attempt and run nothing twice to its end."""
    house, plays = opened(threads=2, shutdown_seconds=5, resend_seconds=1)
    jobs = [house.submit(plays.square, {"number": number}) for number in range(60)]
    for _ in range(3):
        waiting.until(lambda: house.select("SELECT 1 FROM jobs WHERE status = 'completed'"), "first results")
        house.shut()
        house.open(2)
    for job in jobs:
        row = house.until(job, "completed")
        assert (row.attempt, row.rescues) == (1, 0)


def test_a_worker_that_cannot_register_does_not_start(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather no worker than one that can do nothing: the error names the cause."""
    from dramatiq.middleware import MiddlewareError

    house = House(sqlite_database)

    def refuses(self: WorkerProcess) -> str:
        raise OSError("disk gone")

    monkeypatch.setattr(WorkerProcess, "_register", refuses)
    with pytest.raises(MiddlewareError, match="the worker cannot start: OSError: disk gone"):
        house.open()
    house.worker = None
    house.close()


def test_wanted_is_nothing_after_the_end(opened: Open) -> None:
    """A closed hand asks for no work."""
    house, plays = opened()
    hand = house.process.hand
    house.shut()
    assert hand.wanted() is None
    assert plays.calls == {}
    assert hand.mode == dispatch.Mode.CLAIM
