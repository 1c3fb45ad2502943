"""COPY: PostgreSQL's own way in for many rows at once, three times as fast as any INSERT."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from sqlmodel import Session

from persistence.statements import as_database_error, flush

# From here on it pays; below, the one round trip of an INSERT with all its rows as parameters is quicker.
FEWEST_ROWS = 200

_SPECIAL = re.compile(r"[\\\n\r\t]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_NULL = "\\N"


def is_worth_it(session: Session, rows: Sequence[Any]) -> bool:
    """Tell whether so many rows are better copied into this database."""
    return len(rows) >= FEWEST_ROWS and session.get_bind().dialect.name == "postgresql"


def copy(
    session: Session,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    constants: Mapping[str, Any],
) -> None:
    """Insert rows in the transaction of the session.

    :param columns: the names of what the rows hold, in their order.
    :param constants: further columns, with the value that is the same in all rows.
    :raises DBAPIError: the database refuses the rows, or has gone away.
    """
    # Our own tables' and columns' names, never a caller's words.
    names = ", ".join([*columns, *constants])
    end = "".join(f"\t{_field(value)}" for value in constants.values()) + "\n"
    connection: Any = session.connection().connection.driver_connection
    statement = f"COPY {table} ({names}) FROM STDIN"
    flush(session)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as into:
            into.write("".join("\t".join(map(_field, row)) + end for row in rows))
    except psycopg.Error as error:
        raise as_database_error(session.connection(), statement, error) from error


def _field(value: Any) -> str:
    if value is None:
        return _NULL
    if value.__class__ is str:
        return value.translate(_ESCAPES) if _SPECIAL.search(value) else value
    if value.__class__ is bool:
        return "t" if value else "f"
    return str(value)
