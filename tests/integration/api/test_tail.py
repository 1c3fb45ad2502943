from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlmodel import Session

from api.tail import Tail
from persistence.attempts import Ending
from persistence.database import Database
from persistence.event_feed import START, Watched
from persistence.settings import DatabaseSettings
from tests import factories

ALL = Watched(everybody=True)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open the test's own database."""
    database = Database(DatabaseSettings(), url=database_url)
    yield database
    database.close()


def begun(stack: ExitStack, database: Database, name: str) -> Session:
    """Open a transaction that has its number by having written something."""
    session = stack.enter_context(database.session())
    factories.worker(session, name=name)
    return session


def told(tail: Tail, database: Database) -> list[tuple[str, str, bool]]:
    """Read on: job, what it came to, and whether one may resume from there."""
    steps, _ = tail.read(database, ALL)
    return [(one.step.job_id, one.step.to, one.resume is not None) for one in steps]


def test_a_tail_tells_everything_once(database: Database) -> None:
    """What is committed is told in order, and reading on tells only what is new; every place is one to resume from."""
    tail = Tail(START)
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        (job,) = factories.submit(session, ann)
    first = told(tail, database)
    with database.write() as session:
        (taken,) = factories.take(session, worker)
        factories.finish(session, worker, taken, Ending.COMPLETED)

    assert first == [(job, "queued", True)]
    assert told(tail, database) == [(job, "processing", True), (job, "completed", True)]
    assert told(tail, database) == []


@pytest.mark.postgresql
def test_a_job_s_steps_keep_their_order(postgres_database: str) -> None:
    """A step written by an older transaction than the one before it is told after that one, and neither twice.

    The older transaction took the job that the newer one had submitted, while a third one still ran between them: the
    feed's order has the claim first, and the submission only when the third has ended.
    """
    database = Database(DatabaseSettings(), url=postgres_database)
    with ExitStack() as stack:
        stack.callback(database.close)
        with database.write() as session:
            ann, bob, worker = factories.user(session, "ann"), factories.user(session, "bob"), factories.worker(session)
        tail = Tail(START)
        older, between = begun(stack, database, "older"), begun(stack, database, "between")
        with database.write() as newer:
            (job,) = factories.submit(newer, ann)
        factories.take(older, worker)
        older.commit()

        early = told(tail, database)
        (other,) = factories.submit(between, bob)
        between.commit()
        late = told(tail, database)

    # Whoever has heard the submission must not resume behind it: what the third one wrote stands before.
    assert early == [(job, "queued", False), (job, "processing", True)]
    assert late == [(other, "queued", True)]
