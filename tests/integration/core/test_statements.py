"""Statements: what is put off is done with the next statement or the commit, or not at all."""

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from persistence.database import Database, is_repeatable
from persistence.settings import DatabaseSettings
from persistence.statements import commit, later, puts_off, roll_back, run
from tests import factories

HELD = "UPDATE users SET held = held + 1"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open a database with one connection, which everybody gets who comes next."""
    database = Database(DatabaseSettings(database_pool=1), url=database_url)
    yield database
    database.close()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """Open a session that puts off what can wait, in a database with one user."""
    with database.write() as first:
        factories.user(first)
    session = puts_off(database.session())
    yield session
    session.close()


def seen(database: Database) -> int:
    """Read the counter as everybody else sees it."""
    with database.read() as session:
        count: int = run(session, "SELECT held FROM users").scalar_one()
    return count


def test_the_next_statement_sees_what_was_put_off(session: Session) -> None:
    """Order is kept: each statement reads what those before it wrote."""
    later(session, HELD)
    later(session, HELD)
    assert run(session, "SELECT held FROM users").scalar_one() == 2


def test_a_commit_takes_along_what_was_put_off(database: Database, session: Session) -> None:
    """Nothing that was put off is left out of its transaction, and none of it is done twice."""
    run(session, "SELECT 1")
    later(session, HELD)
    commit(session)
    commit(session)
    session.close()
    assert seen(database) == 1


def test_a_rollback_forgets_what_was_put_off(database: Database, session: Session) -> None:
    """What belongs to a transaction that came to nothing does not get into the next one."""
    run(session, "SELECT 1")
    later(session, HELD)
    roll_back(session)
    run(session, "SELECT 1")
    commit(session)
    session.close()
    assert seen(database) == 0


def test_a_commit_fails_with_what_was_put_off(database: Database, session: Session) -> None:
    """A statement that the database refuses takes its whole transaction with it, and its error is the statement's own fault."""
    run(session, HELD)
    with pytest.raises(DBAPIError) as caught:
        later(session, "UPDATE users SET tier = NULL")
        commit(session)
    assert not is_repeatable(caught.value)
    session.close()
    assert seen(database) == 0


@pytest.mark.postgresql
def test_a_connection_lost_at_the_commit_is_told_as_such(postgres_database: str) -> None:
    """Whoever meets it knows that the transaction may be repeated, and the pool lends that connection to nobody."""
    database = Database(DatabaseSettings(database_pool=2), url=postgres_database)
    with database.write() as first:
        factories.user(first)
    session = puts_off(database.session())
    (pid,) = run(session, "SELECT pg_backend_pid()").one()
    with database.write() as other:
        run(other, "SELECT pg_terminate_backend(CAST(:pid AS int), 5000)", pid=pid)
    later(session, HELD)
    with pytest.raises(DBAPIError) as caught:
        commit(session)
    assert is_repeatable(caught.value)
    session.close()
    assert seen(database) == 0
    database.close()
