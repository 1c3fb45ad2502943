"""Connections and transactions: one way to read and one to write, alike on SQLite and PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from persistence.environment import SettingsError
from persistence.errors import DatabaseUnavailableError
from persistence.settings import DatabaseSettings

# The folders above know sessions from here; what is behind them is this folder's business.
__all__ = ["Database", "Session", "as_instant", "is_repeatable", "now", "reason_of"]

_OLDEST_SQLITE = (3, 38, 0)  # the first with ->> and json_each in the form that batches use
_SQLITE_BUSY_SECONDS = 30
_SILENT_PEER_MILLISECONDS = 15_000

_SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "10s",
    # Every statement has its index, and a queue's statistics are always behind: a plan that goes through a whole table
    # because it was empty a minute ago is never the better one. Verify, which does read all, lifts this for itself.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    # A plan made for the values at hand knows how many rows a batch has and, by statistics that lag behind, how few the
    # guards leave: it then reads the whole index of the jobs once a batch.
    "plan_cache_mode": "force_generic_plan",
}

# Conditions of the server rather than of the statement: the whole transaction may be repeated.
_REPEATABLE_SQLSTATES = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57014", "25P03"})
_RESOURCE_CLASSES = ("08", "53", "58")
# SQLite's: busy, locked, out of memory, read-only, interrupted, I/O error, full, cannot open, lock protocol. Its code 1 is the
# statement's own fault, though the driver calls that operational, too.
_REPEATABLE_SQLITE = frozenset({5, 6, 7, 8, 9, 10, 13, 14, 15})


def is_repeatable(error: Exception) -> bool:
    """Tell whether a database error is the connection's or the server's and not the statement's own fault."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, DatabaseUnavailableError)
    if error.connection_invalidated:
        return True
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF in _REPEATABLE_SQLITE
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state in _REPEATABLE_SQLSTATES or state[:2] in _RESOURCE_CLASSES


def reason_of(error: Exception) -> str:
    """Say in one line what a database has said; neither a URL nor any value stands in it."""
    said = str(getattr(error, "orig", None) or error).partition("All failures were:")
    # Of several hosts each one's reason, and none of the questions that follow.
    lines = [line.strip(" \t-") for line in (said[2] or said[0]).splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("Is the server running")) or type(error).__name__


class Database:
    """One process's access to the database; made after the fork, for connections do not survive one.

    :param settings: where the database is.
    :param url: the URL to use in place of the settings' own.
    """

    def __init__(self, settings: DatabaseSettings, *, url: str | None = None) -> None:
        self._settings = settings
        self.url = url or settings.url
        self.is_sqlite = self.url.startswith("sqlite")
        self.engine = _sqlite(self.url, settings) if self.is_sqlite else _postgresql(self.url, settings)

    @classmethod
    def checked(cls, settings: DatabaseSettings) -> "Database":
        """Make the access to the database that the settings name, and see whether it lets itself be used.

        :raises SettingsError: it does not.
        """
        database = None
        try:
            database = cls(settings)
            database.engine.connect().close()
        except (DatabaseUnavailableError, DBAPIError) as error:
            if database is not None:
                database.close()
            raise SettingsError(f"{settings.decided_by}: the database cannot be used: {reason_of(error)}") from error
        return database

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open one writing transaction, committed at the end of the block and rolled back on any error.

        :raises DatabaseUnavailableError: there is no connection to be had.
        """
        with self._session(write=True) as session:
            yield session
            session.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one reading transaction.

        :raises DatabaseUnavailableError: there is no connection to be had.
        """
        with self._session(write=False) as session:
            yield session

    @contextmanager
    def glance(self) -> Iterator[Session]:
        """Open a session for a single reading statement, which on PostgreSQL needs no transaction and so no round trips for one.

        :raises DatabaseUnavailableError: there is no connection to be had.
        """
        with self._session(write=False, **({} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"})) as session:
            yield session

    def session(self) -> Session:
        """Open a writing session that keeps its connection until it is closed; its owner commits.

        :raises DatabaseUnavailableError: there is no connection to be had.
        """
        connection = self._connect()
        return _OwningSession(connection.execution_options(greenroom_write=True), expire_on_commit=False)

    @contextmanager
    def _session(self, *, write: bool, **options: Any) -> Iterator[Session]:
        connection = self._connect()
        with (
            connection,
            Session(connection.execution_options(greenroom_write=write, **options), expire_on_commit=False) as session,
        ):
            yield session

    def _connect(self) -> Connection:
        try:
            return self.engine.connect()
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            raise DatabaseUnavailableError from error

    def apart(self) -> "Database":
        """Give another access with one connection of its own, for what cannot wait until somebody else lets go of one."""
        return Database(self._settings.model_copy(update={"database_pool": 1}), url=self.url)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class _OwningSession(Session):
    """A session that closes its connection with itself."""

    def close(self) -> None:
        super().close()
        bind = self.get_bind()
        if isinstance(bind, Connection):
            bind.close()


def now(session: Session) -> Any:
    """Read the database's clock, in the form in which its driver takes it back as a parameter."""
    return session.connection().exec_driver_sql("SELECT clock_timestamp()").scalar_one()


def as_instant(value: Any) -> datetime | None:
    """Turn a moment as a driver returns it (text on SQLite) into an aware datetime."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def _sqlite(url: str, settings: DatabaseSettings) -> Engine:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        message = f"SQLite {sqlite3.sqlite_version} is too old: 3.38 or newer is needed, or PostgreSQL"
        raise DatabaseUnavailableError(message)
    folder = Path(url.removeprefix("sqlite:///")).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailableError(f"the folder {folder} cannot be used: {error.strerror}") from error
    engine = create_engine(url, pool_size=settings.database_pool, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        del entry
        connection.isolation_level = None  # BEGIN is ours, below: the driver's own would come too late for a guard
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if settings.sqlite_full_sync else 'NORMAL'}")
        connection.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("clock_timestamp", 0, _clock)
        connection.create_function("moment_after", 2, _moment_after, deterministic=True)
        connection.create_function("greatest", 2, max, deterministic=True)
        connection.create_function("least", 2, min, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("greenroom_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: str, settings: DatabaseSettings) -> Engine:
    engine = create_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # they are tenants' payloads, and errors are logged
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": _SILENT_PEER_MILLISECONDS,
            "application_name": "greenroom",
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
        },
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: psycopg.Connection, entry: ConnectionPoolEntry) -> None:
        del entry
        # Ids are text in Python: the driver need not make an object of each first.
        connection.adapters.register_loader("uuid", TextLoader)

    return engine


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _clock() -> str:
    # SQLite's own clock stops at milliseconds; it runs in this process, so this is the database's clock.
    return _text(datetime.now(UTC))


def _moment_after(start: str, seconds: float | None) -> str | None:
    return None if seconds is None else _text(datetime.fromisoformat(start) + timedelta(seconds=seconds))
