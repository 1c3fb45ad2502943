"""Pages: which rows of a list are read at once, by how large they are, so that nothing large is read that no page shows."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import Session, SQLModel, select

# A page ends early rather than hold more than this of what its rows hold of any size; it is never empty for that.
PAGE_BYTES = 4 * 1024 * 1024

Row = TypeVar("Row")
Table = TypeVar("Table", bound=SQLModel)


class Piece(list[Row]):
    """The rows of one page.

    :param ends_at: the id after which the next page begins; None if this is the last one.
    """

    def __init__(self, rows: Iterable[Row], *, ends_at: str | None) -> None:
        super().__init__(rows)
        self.ends_at = ends_at


def bytes_of(session: Session, *columns: str) -> str:
    """Write the SQL for how many bytes the texts of a row have together."""
    # PostgreSQL knows this much of a large value without reading it; what `length` counts are characters, of up to four bytes.
    size = "length(CAST({} AS BLOB))" if session.get_bind().dialect.name == "sqlite" else "octet_length({})"
    return " + ".join(f"coalesce({size.format(column)}, 0)" for column in columns)


def fitting(rows: Sequence[Any], limit: int) -> tuple[list[str], bool]:
    """Choose those that a page has room for.

    :param rows: each with its `id` and its `size` in bytes, in their order, and one more than the limit if there are more.
    :returns: their ids and whether there are more.
    """
    shown: list[str] = []
    room = PAGE_BYTES
    for row in rows[:limit]:
        room -= row.size
        if shown and room < 0:
            break
        shown.append(str(row.id))
    return shown, len(shown) < len(rows)


def newest(
    session: Session,
    table: type[Table],
    *conditions: ColumnElement[bool],
    size: str,
    user_id: str | None,
    before: str | None,
    limit: int,
) -> Piece[Table]:
    """Read a page of a table's rows, newest first.

    :param conditions: what the rows have in common.
    :param size: SQL for the bytes of what has any size in a row.
    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    id_: InstrumentedAttribute[str] = table.id  # type: ignore[attr-defined]
    sizes: Any = select(id_, literal_column(size).label("size")).where(*conditions).order_by(id_.desc()).limit(limit + 1)
    if user_id is not None:
        sizes = sizes.where(table.user_id == user_id)  # type: ignore[attr-defined]
    if before is not None:
        sizes = sizes.where(id_ < before)
    ids, more = fitting(session.exec(sizes).all(), limit)
    rows = session.scalars(select(table).where(id_.in_(ids)).order_by(id_.desc())).all() if ids else []
    # Not the last row that is still there: what is deleted between the two looks would otherwise be missed as a place, too.
    return Piece(rows, ends_at=ids[-1] if more else None)
