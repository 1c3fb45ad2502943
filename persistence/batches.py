"""A batch of rows as one parameter of a statement, so that a hundred jobs cost the round trips of one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session


class Batch:
    """Rows that a statement joins by the name of the batch.

    :param session: tells which dialect to write.
    :param name: what the statement calls the rows, as in `FROM jobs JOIN {batch} ON b.id = jobs.id`.
    :param columns: each column's name and its PostgreSQL type, in the order of the values in a row.
    :param rows: one sequence of values a row, none of them nested.
    """

    def __init__(self, session: Session, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        names = ", ".join(columns)
        if session.get_bind().dialect.name == "sqlite":
            fields = ", ".join(f"value ->> {place} AS {column}" for place, column in enumerate(columns))
            self.sql = f"(SELECT {fields} FROM json_each(:{name}_rows)) AS {name}"
            self.parameters: dict[str, Any] = {f"{name}_rows": json.dumps(rows)}
            return
        arrays = ", ".join(f"CAST(:{name}_{column} AS {kind}[])" for column, kind in columns.items())
        self.sql = f"unnest({arrays}) AS {name}({names})"
        values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        self.parameters = {
            f"{name}_{column}": _array(values[place], quoted=columns[column] == "text") for place, column in enumerate(columns)
        }


def _array(values: Sequence[Any], *, quoted: bool) -> str:
    """Write PostgreSQL's text form of an array; the driver's own way costs as much as all the rest of a batch."""
    if quoted:
        words = ("NULL" if value is None else f'"{_escaped(value)}"' for value in values)
    else:
        words = ("NULL" if value is None else str(value) for value in values)
    return f"{{{','.join(words)}}}"


def _escaped(text: str) -> str:
    if "\x00" in text:
        raise ValueError("text may not contain NUL characters")
    return text.replace("\\", "\\\\").replace('"', '\\"')


def among(session: Session, parameter: str, kind: str = "uuid") -> str:
    """Write the SQL for 'is one of the values of a list parameter'; give the values through `many`."""
    if session.get_bind().dialect.name == "sqlite":
        return f"IN (SELECT value FROM json_each(:{parameter}))"
    return f"= ANY(CAST(:{parameter} AS {kind}[]))"


def many(session: Session, values: Sequence[Any]) -> Any:
    """Turn a list into the parameter that `among` expects."""
    if session.get_bind().dialect.name == "sqlite":
        return json.dumps(list(values))
    return _array(values, quoted=True)


def flag(column: str) -> str:
    """Write a boolean column as 0 or 1 in the guard of a batch, so that no index offers itself for it.

    A batch finds its rows by their primary key. Written plainly a guard would match an index, and a planner whose
    statistics lag behind, as a queue's always do, goes through all that is queued to find a hundred rows.
    """
    return f"CAST({column} AS int)"


def word(column: str) -> str:
    """Write a text column in the guard of a batch, so that no index offers itself for it; see `flag`."""
    return f"{column} || ''"
