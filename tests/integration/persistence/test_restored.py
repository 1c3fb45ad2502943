"""A database that was restored on another server: its webhooks miss nothing, though transaction numbers begin again there."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from persistence import event_feed, webhook_endpoints, webhook_events
from persistence.database import Database
from persistence.event_feed import START
from persistence.migrate import is_current, migrate
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests import factories

# So many transactions the old server had seen before the new one's first.
AHEAD = 10**12


@pytest.fixture
def database(postgres_database: str) -> Iterator[Database]:
    """Open a database of PostgreSQL's."""
    with closing(Database(DatabaseSettings(), url=postgres_database)) as database:
        yield database


def gather(database: Database) -> list[str]:
    """Turn what has happened into deliveries; list the jobs that there are deliveries of, in their order."""
    with database.read() as session:
        news = webhook_events.read(session, seen=START)
    if news is not None:
        with database.write() as session:
            webhook_events.write(session, news)
    with database.read() as session:
        return [str(row.job_id) for row in run(session, "SELECT job_id FROM webhook_deliveries ORDER BY id")]


def submit(database: Database, user: str) -> str:
    """Submit a job."""
    with database.write() as session:
        return factories.submit(session, user)[0]


def endpoint(database: Database, user: str) -> None:
    """Register an endpoint for new jobs."""
    with database.write() as session:
        webhook_endpoints.create(session, user_id=user, url="https://hooks.example/", events=["job.enqueued"])


def move_to_another_server(database: Database) -> None:
    """Make all numbers those of a server that has counted much further, as a dump of it holds them."""
    with database.write() as session:
        run(session, "ALTER TABLE transitions DISABLE TRIGGER transitions_are_not_changed")
        run(session, f"UPDATE transitions SET xid = xid + {AHEAD}")
        run(session, "ALTER TABLE transitions ENABLE TRIGGER transitions_are_not_changed")
        run(session, f"UPDATE webhook_cursor SET xid = xid + {AHEAD}")
        run(session, f"UPDATE webhook_endpoints SET since_xid = since_xid + {AHEAD}")


def test_webhooks_go_on(database: Database) -> None:
    """What was told before the dump is not told again; what was not, and all that comes after the restore, is."""
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    submit(database, ann)
    endpoint(database, ann)
    told = submit(database, ann)
    assert gather(database) == [told]
    untold = submit(database, ann)
    before = submit(database, bob)
    endpoint(database, bob)
    move_to_another_server(database)

    assert not is_current(database.url)
    migrate(database.url)
    assert is_current(database.url)

    later = [submit(database, ann), submit(database, bob)]
    found = gather(database)
    assert found[:2] == [told, untold]
    assert sorted(found) == sorted([told, untold, *later])
    assert before not in found


def test_the_trail_stays_closed(database: Database) -> None:
    """Afterwards the audit trail refuses changes as before, and a reader of events finds all of it in the order of its jobs."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
    job = submit(database, ann)
    with database.write() as session:
        factories.take(session, worker)
    move_to_another_server(database)

    migrate(database.url)

    with pytest.raises(Exception, match="the audit trail is not changed"), database.write() as session:
        run(session, "UPDATE transitions SET reason = 'x'")
    with database.read() as session:
        steps, _ = event_feed.read(session, after=START, watched=event_feed.Watched(jobs=[job]))
    assert [step.to for step in steps] == ["queued", "processing"]


def test_a_server_that_is_further_changes_nothing(database: Database) -> None:
    """A database of this server, or of one that had counted less, stays as it is."""
    with database.write() as session:
        ann = factories.user(session)
    endpoint(database, ann)
    submit(database, ann)
    places = "SELECT xid, id FROM transitions UNION ALL SELECT xid, transition_id FROM webhook_cursor"
    with database.read() as session:
        before = run(session, places).all()
    migrate(database.url)
    with database.read() as session:
        assert run(session, places).all() == before
