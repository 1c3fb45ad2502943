"""Statements: how SQL goes to the driver, at once or together with the next one in a single round trip.

SQLAlchemy holds connections and transactions; a statement passes it by, for its way with one takes longer than the database
needs to answer it.
"""

import contextlib
import re
from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
_LATER = "greenroom_later"
_statements: dict[str, str] = {}


class Rows(list[Any]):
    """What a statement returned, as tuples with names.

    :param count: how many rows the statement wrote or returned.
    """

    def __init__(self, rows: list[Any], count: int) -> None:
        super().__init__(rows)
        self.rowcount = count

    def all(self) -> list[Any]:
        """List all rows."""
        return self

    def first(self) -> Any:
        """Return the first row; None when there is none."""
        return self[0] if self else None

    def one(self) -> Any:
        """Return the only row.

        :raises ValueError: there is none, or more than one.
        """
        (row,) = self
        return row

    def one_or_none(self) -> Any:
        """Return the only row; None when there is none.

        :raises ValueError: there is more than one.
        """
        return self.one() if self else None

    def scalar_one(self) -> Any:
        """Return the only value of the only row."""
        return self.one()[0]


def run(session: Session, sql: str, **parameters: Any) -> Rows:
    """Execute a statement whose parameters are written `:name`, and before it what was put off.

    :raises DBAPIError: what the database says, as SQLAlchemy would raise it.
    """
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    try:
        if connection.dialect.name == "sqlite":
            cursor = driver.execute(sql, parameters)
        else:
            put_off = session.info.get(_LATER)
            if put_off:
                with driver.pipeline():
                    _send_put_off(driver, put_off)
                    cursor = _execute(driver, sql, parameters)
            else:
                cursor = _execute(driver, sql, parameters)
        return _rows(cursor)
    except connection.dialect.loaded_dbapi.Error as error:
        raise as_database_error(connection, sql, error) from error


def later(session: Session, sql: str, **parameters: Any) -> None:
    """Execute a statement at the latest before the next one, or with the commit; who reads what it writes does so by `run`.

    Only in a session that `puts_off` is this any different from executing it now.
    """
    put_off = session.info.get(_LATER)
    if put_off is None:
        run(session, sql, **parameters)
    else:
        put_off.append((sql, parameters))


def puts_off(session: Session) -> Session:
    """Let a session send what can wait together with what cannot; it has to be committed by `commit`."""
    if session.get_bind().dialect.name == "postgresql":
        session.info[_LATER] = []
    return session


def commit(session: Session) -> None:
    """Commit, together with what was put off.

    :raises DBAPIError: what the database says; none of it may be committed, and unless the connection was lost none of it is.
    """
    put_off = session.info.get(_LATER)
    if not put_off:
        session.commit()
        return
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            _send_put_off(driver, put_off)
            session.commit()
    except (psycopg.Error, DBAPIError) as error:
        # For SQLAlchemy a transaction ends with its COMMIT. Here it may not have come to that, and is open still.
        with contextlib.suppress(psycopg.Error):
            driver.rollback()
        if isinstance(error, DBAPIError):
            raise
        raise as_database_error(connection, "COMMIT", error) from error


def spare_the_disk(session: Session) -> None:
    """Let the commit of this transaction be answered before it is on the disk, for it may be lost in a crash of the server."""
    if session.get_bind().dialect.name == "postgresql":
        later(session, "SET LOCAL synchronous_commit = off")


def flush(session: Session) -> None:
    """Execute what was put off, for somebody comes next who does not go this way."""
    if session.info.get(_LATER):
        run(session, "SELECT 1")


def roll_back(session: Session) -> None:
    """Roll back, and forget what was put off."""
    if _LATER in session.info:
        session.info[_LATER].clear()
    session.rollback()


def as_database_error(connection: Connection, statement: str, error: Exception) -> Exception:
    """Turn a driver's error into what SQLAlchemy makes of it with its own statements, a lost connection among them."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)  # type: ignore[arg-type]
    if is_lost and not connection.invalidated:
        connection.invalidate(error)
    return DBAPIError.instance(
        statement,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )


def _send_put_off(driver: Any, put_off: list[tuple[str, dict[str, Any]]]) -> None:
    for sql, parameters in put_off:
        _execute(driver, sql, parameters)
    put_off.clear()


def _execute(driver: Any, sql: str, parameters: Mapping[str, Any]) -> Any:
    statement = _statements.get(sql)
    if statement is None:
        statement = _statements[sql] = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
    return driver.execute(statement, parameters)


def _rows(cursor: Any) -> Rows:
    if cursor.description is None:
        return Rows([], cursor.rowcount)
    named = _row_of(tuple(column[0] for column in cursor.description))
    return Rows(list(map(named, cursor.fetchall())), cursor.rowcount)


@cache
def _row_of(names: tuple[str, ...]) -> Callable[[Any], Any]:
    # The names of columns are ours, and few.
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - only its statement knows them
    make: Callable[[Any], Any] = row._make
    return make
