"""S52: nobody rewrites the audit trail; on PostgreSQL the application's role has not even the right to try."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from api.cli import main
from persistence import cancellation, prune, replays, users
from persistence.attempts import Ending
from persistence.database import Database
from persistence.models import METADATA
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.verify import verify
from tests import factories
from tests.services import connected

CHANGES = {
    "update": "UPDATE transitions SET reason = 'it was like this'",
    "delete": "DELETE FROM transitions",
    "truncate": "TRUNCATE transitions",
}


@pytest.fixture
def role(postgres_database: str) -> Iterator[str]:
    """Create a role without any rights, and drop it with those that it was given."""
    name = f"app_{secrets.token_hex(4)}"
    with connected(postgres_database) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), name))
        yield name
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def application(postgres_database: str, role: str) -> Iterator[Database]:
    """Open the database as the application, after `greenroom migrate --app-role`."""
    assert migrate_for(postgres_database, role).exit_code == 0
    parts = urlsplit(postgres_database)
    url = parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}").geturl()
    database = Database(DatabaseSettings(), url=url)
    yield database
    database.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("change", CHANGES)
def test_the_application_may_not_change_the_past(application: Database, change: str) -> None:
    """The application's role is denied every change of the audit trail."""
    with application.write() as session:
        factories.submit(session, factories.user(session))
    with application.write() as session, pytest.raises(DBAPIError, match="permission denied for table transitions"):
        run(session, CHANGES[change])


@pytest.mark.postgresql
def test_the_application_can_do_its_work(application: Database) -> None:
    """The application's role may do all that a job goes through, pruning included, and nothing more is granted to it."""
    with application.write() as session:
        users.ensure_admin(session, admin_key=None)
        user = factories.user(session)
        worker = factories.worker(session)
        first, second, third = factories.submit(session, user, *factories.submissions(3, tags=("a",)))
        for taken in factories.take(session, worker, room=2):
            ending = factories.fail if taken.id == first else succeed
            ending(session, worker, taken)
        cancellation.cancel(session, job_id=third, user_id=user)
        (letter,) = run(session, "SELECT id FROM dead_letters").one()
        replays.replay(session, letter_id=str(letter), user_id=user)
    with application.write() as session:
        assert prune.prune(session, older_than_seconds=-1) == 2
    with application.read() as session:
        assert verify(session) == []
        assert run(session, "SELECT count(DISTINCT job_id) FROM transitions").scalar_one() == 1
        assert second
    assert rights(application) == {"SELECT", "INSERT"}


@pytest.mark.postgresql
def test_every_table_is_granted(application: Database) -> None:
    """There is no table that the application's role cannot read and add to."""
    with application.read() as session:
        for table in METADATA.tables:
            for right in ("SELECT", "INSERT"):
                granted = run(session, "SELECT has_table_privilege(:table, :right)", table=table, right=right)
                assert granted.scalar_one(), (table, right)
        assert not run(session, "SELECT has_table_privilege('alembic_version', 'UPDATE')").scalar_one()


@pytest.mark.postgresql
def test_the_application_prunes_finished_jobs_only(application: Database) -> None:
    """Pruning is no way around: the trail of a job that has not finished stays."""
    with application.write() as session:
        (job,) = factories.submit(session, factories.user(session))
        pruned = run(session, "SELECT prune_transitions(CAST(:ids AS uuid[]))", ids=[job]).scalar_one()
    assert pruned == 0


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_owner_may_not_change_the_past(database_url: str, change: str) -> None:
    """Even the owner of the tables is refused, on both databases."""
    database = Database(DatabaseSettings(), url=database_url)
    with database.write() as session:
        factories.submit(session, factories.user(session))
    with database.write() as session, pytest.raises(DBAPIError, match="the audit trail"):
        run(session, CHANGES[change])
    database.close()


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("name", "words"), [("nobody_yet", "there is no role nobody_yet"), ("greenroom", "rights would not hold it back")]
)
def test_a_role_that_cannot_be_held_back_is_refused(postgres_database: str, name: str, words: str) -> None:
    """`greenroom migrate --app-role` refuses a role that does not exist, and one that owns the tables."""
    migrated = migrate_for(postgres_database, name)
    assert migrated.exit_code == 1
    assert words in migrated.stderr


def test_sqlite_has_no_roles(sqlite_database: str) -> None:
    """`greenroom migrate --app-role` says that SQLite has no roles."""
    migrated = migrate_for(sqlite_database, "anybody")
    assert migrated.exit_code == 1
    assert "SQLite has no roles" in migrated.stderr


def succeed(session: Session, worker: str, taken: object) -> None:
    """Complete a claim."""
    factories.finish(session, worker, taken, Ending.COMPLETED, result="{}")  # type: ignore[arg-type]


def rights(database: Database) -> set[str]:
    """List what the role of this connection may do with the audit trail."""
    every = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    with database.read() as session:
        ask = "SELECT has_table_privilege('transitions', :right)"
        return {right for right in every if run(session, ask, right=right).scalar_one()}


def migrate_for(url: str, role: str) -> Result:
    """Run `greenroom migrate --app-role`."""
    return CliRunner().invoke(main, ["migrate", "--app-role", role], env={"GREENROOM_DATABASE_URL": url})
