"""What a database error means: try the whole transaction again, or blame the statement."""

import sqlite3

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from persistence.database import Database, as_instant, is_repeatable, now
from persistence.errors import ConcurrentJobLimitError, DatabaseUnavailableError
from persistence.settings import DatabaseSettings


def of_postgresql(state: str) -> DBAPIError:
    """Make the error that SQLAlchemy makes of a server's."""
    cause = psycopg.errors.lookup(state)("said")
    return OperationalError("SELECT 1", {}, cause)


@pytest.mark.parametrize(
    ("state", "repeats"),
    [
        ("40001", True),  # serialization failure
        ("40P01", True),  # deadlock
        ("55P03", True),  # lock timeout
        ("57P01", True),  # the server is shut down
        ("57P03", True),  # the server starts
        ("25P03", True),  # idle in transaction for too long
        ("53100", True),  # disk full
        ("53300", True),  # too many connections
        ("08006", True),  # connection failure
        ("58030", True),  # I/O error
        ("23505", False),  # unique violation
        ("23514", False),  # CHECK violation
        ("22008", False),  # datetime overflow
        ("42601", False),  # syntax
        ("42501", False),  # no right
    ],
)
def test_conditions_of_the_server_are_repeated(state: str, repeats: bool) -> None:
    """What is the server's or the connection's may pass; what is the statement's own fault does not."""
    assert is_repeatable(of_postgresql(state)) is repeats


def test_a_lost_connection_is_repeated() -> None:
    """So is an error without any code, which the driver raises itself."""
    assert is_repeatable(OperationalError("SELECT 1", {}, psycopg.OperationalError("connection lost")))
    assert is_repeatable(InterfaceError("SELECT 1", {}, psycopg.InterfaceError("the connection is closed")))
    assert is_repeatable(DBAPIError("SELECT 1", {}, Exception(), connection_invalidated=True))
    assert not is_repeatable(DBAPIError("SELECT 1", {}, psycopg.DataError("text cannot contain NUL")))


def test_what_is_no_database_error() -> None:
    """Only the error that says that the database is away is repeated."""
    assert is_repeatable(DatabaseUnavailableError())
    assert not is_repeatable(ConcurrentJobLimitError())
    assert not is_repeatable(KeyError("mine"))


@pytest.fixture
def sqlite(sqlite_database: str) -> Database:
    """Open an embedded database."""
    return Database(DatabaseSettings(), url=sqlite_database)


@pytest.mark.parametrize(
    "statement",
    ["SELECT moment_after('2026-01-01', 1e300)", "SELECT * FROM json_each('{')", "SELECT * FROM nowhere", "SELEC 1"],
)
def test_a_bad_statement_on_sqlite_is_not_repeated(sqlite: Database, statement: str) -> None:
    """SQLite's driver calls them operational, too; repeated, they would hold a ledger for ever."""
    with pytest.raises(DBAPIError) as caught, sqlite.read() as session:
        session.execute(text(statement))
    assert not is_repeatable(caught.value)
    sqlite.close()


def test_a_busy_sqlite_is_repeated(sqlite: Database) -> None:
    """Another writer is a reason to try again."""
    with sqlite.write() as session:
        now(session)
        other = sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), timeout=0)
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("BEGIN IMMEDIATE")
        other.close()
    assert is_repeatable(OperationalError("BEGIN", {}, caught.value))
    sqlite.close()


def test_a_broken_rule_is_not_repeated(sqlite: Database) -> None:
    """A constraint does not pass."""
    with pytest.raises(IntegrityError) as caught, sqlite.write() as session:
        session.execute(text("INSERT INTO type_limits (name, max_held, held) VALUES ('x', 1, -1)"))
    assert not is_repeatable(caught.value)
    sqlite.close()


def test_a_transaction_is_whole_or_not_at_all(sqlite: Database) -> None:
    """An error in the block takes everything back, and the connection is good for the next one."""
    with pytest.raises(KeyError), sqlite.write() as session:
        session.execute(text("INSERT INTO type_limits (name, max_held, held) VALUES ('x', 1, 0)"))
        raise KeyError
    with sqlite.read() as session:
        assert session.execute(text("SELECT count(*) FROM type_limits")).scalar_one() == 0
    sqlite.close()


def test_the_clock_has_microseconds_and_a_zone(sqlite: Database) -> None:
    """A moment as the driver returns it becomes an aware one."""
    with sqlite.read() as session:
        moment = as_instant(now(session))
    assert moment is not None
    assert moment.tzinfo is not None
    assert as_instant(moment) is moment
    assert as_instant(None) is None
    sqlite.close()


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:9/none", "sqlite:////proc/none/greenroom.db"])
def test_a_database_that_is_not_there(url: str) -> None:
    """It is one error, whatever the driver says."""
    with pytest.raises(DatabaseUnavailableError):
        database = Database(DatabaseSettings(), url=url)
        with database.read():
            pass
    with pytest.raises(DatabaseUnavailableError):
        Database(DatabaseSettings(), url=url).session()
