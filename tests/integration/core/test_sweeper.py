"""The sweeper: who is dead, what is forgotten, and what nobody can perform."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from middleware import sweeper as module
from middleware.settings import WorkerSettings
from middleware.sweeper import Sweeper
from persistence import dispatch, resend, sweeps, workers
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import DatabaseUnavailableError
from persistence.ids import new_id
from persistence.statements import run
from tests import factories, waiting

LEASE = 10.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the sweeper a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def make(database: Database) -> Iterator[Callable[..., Sweeper]]:
    """Make sweepers, whose threads are not started."""
    made: list[Sweeper] = []

    def make(worker_id: str | None = None, **words: Any) -> Sweeper:
        settings = {"lease_seconds": LEASE, "heartbeat_seconds": 1, "sweep_seconds": 0.01, "unknown_type_seconds": 60}
        parts: dict[str, Any] = {"outbox": None, "on_work": lambda: None, "on_fatal": lambda _: None} | words
        sweeper = Sweeper(
            WorkerSettings(**settings | parts.pop("settings", {})), database=database, worker_id=lambda: worker_id, **parts
        )
        made.append(sweeper)
        return sweeper

    yield make
    for sweeper in made:
        if sweeper._thread.is_alive():
            sweeper.close()


def worker(database: Database, **words: Any) -> str:
    """Enter a worker."""
    with database.write() as session:
        return factories.worker(session, **words)


def is_dead(database: Database, worker_id: str) -> bool:
    """Tell whether a worker was declared dead."""
    with database.read() as session:
        return factories.fetch(session, "workers", worker_id).dead_at is not None


def test_a_silent_worker_is_dead_after_a_whole_lease(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """Seen with the same beat on every sweep of a lease, and not a moment earlier; its job goes back at the same sweep."""
    # given
    silent, beating = worker(database), worker(database)
    with database.write() as session:
        user = factories.user(session)
        (job,) = factories.submit(session, user)
        factories.take(session, silent)
    sweeper = make()
    sweeper.sweep()
    for _ in range(9):
        clock.now += 1
        with database.write() as session:
            workers.beat(session, worker_id=beating)
        sweeper.sweep()
    assert (is_dead(database, silent), is_dead(database, beating)) == (False, False)
    # when
    clock.now += 1
    with database.write() as session:
        workers.beat(session, worker_id=beating)
    sweeper.sweep()
    # then
    assert (is_dead(database, silent), is_dead(database, beating)) == (True, False)
    with database.read() as session:
        row = factories.fetch(session, "jobs", job)
    assert (row.status, row.attempt, row.rescues, bool(row.slot)) == ("queued", 1, 1, False)


def test_a_gap_starts_the_count_again(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """A sweeper that was frozen, or without its database, has seen nothing and declares nobody dead."""
    silent, sweeper = worker(database), make()
    sweeper.sweep()
    clock.now += LEASE * 5
    sweeper.sweep()
    assert not is_dead(database, silent)
    for _ in range(10):
        clock.now += 1
        sweeper.sweep()
    assert is_dead(database, silent)


def test_nobody_declares_itself_dead(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """Whether its own worker lives is the pulse's business."""
    own = worker(database)
    sweeper = make(own)
    for _ in range(15):
        sweeper.sweep()
        clock.now += 1
    assert not is_dead(database, own)


def test_a_beat_in_the_last_moment_counts(database: Database) -> None:
    """A worker that has beaten since it was looked at is not declared dead."""
    late = worker(database)
    with database.write() as session:
        workers.beat(session, worker_id=late)
        assert not workers.declare_dead(session, worker_id=late, beat_no=0)
        assert workers.declare_dead(session, worker_id=late, beat_no=1)
        assert not workers.beat(session, worker_id=late)
        assert not workers.declare_dead(session, worker_id=late, beat_no=1)


def test_what_nobody_performs_fails_after_a_while(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """A type that no live worker has known for 60 s: its jobs fail with a message that names it."""
    # given
    own = worker(database, types=["tests.known"])
    sweeper = make(own, settings={"sweep_seconds": 30})
    with database.write() as session:
        user = factories.user(session)
        strange = factories.submit(session, user, *factories.submissions(3, "tests.strange"))
        (known,) = factories.submit(session, user, factories.submission("tests.known"))
    sweeper.sweep()
    clock.now += 59
    sweeper.sweep()
    with database.read() as session:
        assert {factories.fetch(session, "jobs", job).status for job in strange} == {"queued"}
    # when
    clock.now += 2
    sweeper.sweep()
    # then
    with database.read() as session:
        rows = [factories.fetch(session, "jobs", job) for job in strange]
        assert factories.fetch(session, "jobs", known).status == "queued"
        letters = session.connection().exec_driver_sql("SELECT count(*) FROM dead_letters").scalar_one()
    assert {row.status for row in rows} == {"failed"}
    assert all("No processor registered for job type: tests.strange" in row.error for row in rows)
    assert letters == 3


def test_a_type_that_is_known_again_in_time_is_spared(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """The count starts again when a worker for the type has come and gone."""
    own = worker(database, types=["tests.known"])
    sweeper = make(own, settings={"sweep_seconds": 30})
    with database.write() as session:
        (job,) = factories.submit(session, factories.user(session), factories.submission("tests.strange"))
    sweeper.sweep()
    clock.now += 40
    comes = worker(database, types=["tests.strange"])
    sweeper.sweep()
    with database.write() as session:
        workers.leave(session, worker_id=comes)
    for _ in range(2):
        clock.now += 40
        sweeper.sweep()
    with database.read() as session:
        assert factories.fetch(session, "jobs", job).status == "queued"


def test_messages_that_nobody_claims_are_sent_again(database: Database, make: Callable[..., Sweeper]) -> None:
    """Under the same number, with a wait that doubles."""
    published: list[dispatch.Taken] = []
    worker(database)
    with database.write() as session:
        factories.submit(session, factories.user(session))
        (sent,) = factories.take(session, None, mode=dispatch.Mode.SEND)
    outbox = SimpleNamespace(is_away=False, deliver=published.extend)
    sweeper = make(outbox=outbox, settings={"resend_seconds": 60})

    def back(seconds: int) -> None:
        with database.write() as session:
            sql = "UPDATE jobs SET dispatched_at = moment_after(dispatched_at, :seconds)"
            run(session, sql, seconds=float(-seconds))

    sweeper.sweep()
    assert published == []
    for wait in (60, 120, 240, 480, 960, 1920, 1920):
        back(wait - 5)
        before = len(published)
        sweeper.sweep()
        assert len(published) == before
        back(6)
        sweeper.sweep()
        assert len(published) == before + 1
    assert {(job.id, job.dispatch_no) for job in published} == {(sent.id, sent.dispatch_no)}


def test_the_sql_broker_takes_back_what_another_broker_left(database: Database, make: Callable[..., Sweeper]) -> None:
    """Dispatched by a broker that is gone, a job goes back to its lane, and the worker is told."""
    told: list[int] = []
    worker(database)
    with database.write() as session:
        (job,) = factories.submit(session, factories.user(session))
        factories.take(session, None, mode=dispatch.Mode.SEND)
    make(on_work=lambda: told.append(1)).sweep()
    with database.read() as session:
        row = factories.fetch(session, "jobs", job)
    assert (row.status, bool(row.slot), row.dispatch_no, told) == ("queued", False, 1, [1])


def test_what_has_been_finished_for_long_is_pruned(database: Database, clock: Clock, make: Callable[..., Sweeper]) -> None:
    """After the retention a finished job goes with its trail; unfinished ones stay however old they are."""
    sweeper = make(settings={"retention_hours": 1})
    own = worker(database)
    with database.write() as session:
        user = factories.user(session)
        jobs = factories.submit(session, user, *factories.submissions(3, tags=("t",)))
        old, young, running = factories.take(session, own)
        for taken in (old, young):
            factories.finish(session, own, taken, Ending.COMPLETED, result="1")
        run(session, "UPDATE jobs SET created_at = moment_after(created_at, -7200)")
        sql = "UPDATE jobs SET finished_at = moment_after(finished_at, -3700) WHERE id = :id"
        run(session, sql, id=old.id)
    sweeper.sweep()
    with database.read() as session:
        left = {str(row.id) for row in run(session, "SELECT id FROM jobs")}
        trails = {str(row.job_id) for row in run(session, "SELECT job_id FROM transitions")}
        tags = {str(row.job_id) for row in run(session, "SELECT job_id FROM tags")}
    assert left == trails == tags == set(jobs) - {old.id} == {young.id, running.id}
    assert clock.now == 1000.0


@pytest.mark.postgresql
def test_one_leads_at_a_time(postgres_database: str) -> None:
    """While one sweeper is at a step the others leave it alone."""
    from persistence.settings import DatabaseSettings

    database = Database(DatabaseSettings(), url=postgres_database)
    with database.write() as first:
        assert sweeps.lead(first)
        with database.write() as second:
            assert not sweeps.lead(second)
    with database.write() as session:
        assert sweeps.lead(session)
    database.close()


@pytest.mark.postgresql
def test_a_sweep_does_not_wait_for_a_process_that_is_frozen_in_a_write(postgres_database: str) -> None:
    """What it has locked is passed over, and all the rest is seen to: others must not stay undiscovered because of it."""
    from persistence.settings import DatabaseSettings

    # given
    database = Database(DatabaseSettings(), url=postgres_database)
    frozen, silent = worker(database), worker(database)
    with database.write() as session:
        user = factories.user(session)
        factories.submit(session, user, *factories.submissions(2))
        locked, other = factories.take(session, None, room=2, mode=dispatch.Mode.SEND)

    # when
    with database.write() as held:
        run(held, "SELECT id FROM workers WHERE id = :id FOR UPDATE", id=frozen)
        run(held, "SELECT id FROM jobs WHERE id = :id FOR UPDATE", id=locked.id)
        with database.write() as session:
            run(session, "SET LOCAL lock_timeout = '500ms'")
            dead = [workers.declare_dead(session, worker_id=one, beat_no=0) for one in (frozen, silent)]
            sent = resend.overdue(session, after_seconds=0.0)

    # then
    assert dead == [False, True]
    assert [job.id for job in sent] == [other.id]
    database.close()


def test_an_outage_passes_and_anything_else_ends_the_process(
    make: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away forgets who was silent and is tried again; an error of its own ends the sweeper loudly."""
    fatal: list[BaseException] = []
    sweeper = make(on_fatal=fatal.append)
    sweeper._seen = {new_id(): (1, 0.0)}
    errors: list[Exception] = [DatabaseUnavailableError(), KeyError("mine")]

    def sweep() -> None:
        error = errors.pop(0)
        if not errors:
            assert sweeper._seen == {}
        raise error

    monkeypatch.setattr(sweeper, "sweep", sweep)
    sweeper.start()
    waiting.until(lambda: fatal, "fatal error")
    assert [type(error) for error in fatal] == [KeyError]
