"""Pages: lists come in pieces of at most 200, and a cursor says where the next one starts."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from api.dependencies import Caller
from persistence.errors import ValidationError
from persistence.ids import is_id
from persistence.pages import Piece

Item = TypeVar("Item")
Row = TypeVar("Row")

DEFAULT_LIMIT = 50
MOST = 200

# For handlers: `limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None`.
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=MOST, description="How many items a page may have.")]
Cursor = Annotated[
    str | None,
    QueryParameter(name="cursor", max_length=500, description="`next_cursor` of the page before."),
]


class Page(msgspec.Struct, Generic[Item]):
    """One piece of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


def after(cursor: str | None, caller: Caller, *, is_key: Callable[[str], bool] = is_id) -> str | None:
    """Read the key after which the page starts.

    :param is_key: whether a text can be a key of the list; ids unless told otherwise.
    :raises ValidationError: it is no cursor, or one that another caller was given.
    """
    if cursor is None:
        return None
    try:
        owner, _, key = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode().partition(" ")
    except (binascii.Error, UnicodeError):
        owner, key = "", ""
    # A key that was cut out of a page of somebody else's list is no place in this one.
    if not is_key(key) or owner != caller.user_id:
        raise ValidationError("cursor: not one of this list", field="cursor")
    return key


def page(rows: Sequence[Row], *, limit: int, caller: Caller, key: Callable[[Row], str], item: Callable[[Row], Any]) -> Page[Any]:
    """Make a page from rows of which one more than the limit was asked for.

    :param key: the place of a row in the list's order, such as its id; the next page starts after it.
    :param item: what the caller sees of a row.
    """
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        cursor = cursor_after(key(shown[-1]), caller)
    return Page([item(row) for row in shown], cursor)


def piece(rows: Piece[Row], *, caller: Caller, item: Callable[[Row], Any]) -> Page[Any]:
    """Make a page from rows that are chosen by their sizes, too.

    :param item: what the caller sees of a row.
    """
    return Page([item(row) for row in rows], None if rows.ends_at is None else cursor_after(rows.ends_at, caller))


def cursor_after(key: str, caller: Caller) -> str:
    """Make the cursor of the page that starts after a key."""
    return base64.b64encode(f"{caller.user_id} {key}".encode(), altchars=b"-_").decode()
