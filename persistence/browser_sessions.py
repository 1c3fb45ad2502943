"""Browser sessions: who has signed in with a key on a page, until when; of its secret only a hash is kept."""

import secrets
from datetime import datetime
from typing import cast

from sqlmodel import Field, Session, SQLModel

from persistence import tables
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.ids import new_id
from persistence.keys import secret_hash
from persistence.statements import run

# In the form of a key, so that whatever hides keys hides these, too; no key has this prefix.
_MARK = "gr_session_"
_SECRET_BYTES = 32
# So many browsers may be signed in with one key; the oldest session makes room for the next one.
_MOST_OF_KEY = 50


class BrowserSession(SQLModel, table=True):
    """One browser that has signed in with a key; it is good for as long as the key is, and no longer than its own time."""

    __tablename__ = "browser_sessions"
    id: str = tables.id_key()
    key_id: str = tables.id_column("api_keys.id", index=True, cascade=True)
    secret_hash: str = Field(max_length=64, unique=True)
    created_at: datetime = tables.instant(nullable=False)
    expires_at: datetime = tables.instant(nullable=False, index=True)


def begin(session: Session, *, key_id: str, seconds: float) -> tuple[str, datetime]:
    """Let a browser in.

    :param key_id: the key that it was signed in with.
    :param seconds: how long it stays signed in.
    :returns: its secret, which nobody can read again, and when it ends.
    """
    run(
        session,
        f"""DELETE FROM browser_sessions WHERE key_id = :key AND id NOT IN (
            SELECT id FROM browser_sessions WHERE key_id = :key ORDER BY id DESC LIMIT {_MOST_OF_KEY - 1})""",
        key=key_id,
    )
    token = _MARK + secrets.token_urlsafe(_SECRET_BYTES)
    row = run(
        session,
        """INSERT INTO browser_sessions (id, key_id, secret_hash, created_at, expires_at)
        VALUES (:id, :key, :hash, :now, moment_after(:now, :seconds)) RETURNING expires_at""",
        id=new_id(),
        key=key_id,
        hash=secret_hash(token),
        now=database_now(session),
        seconds=seconds,
    ).one()
    return token, cast("datetime", as_instant(row.expires_at))


def end(session: Session, *, token: str) -> bool:
    """Sign a browser out; tells whether it was signed in."""
    return bool(run(session, "DELETE FROM browser_sessions WHERE secret_hash = :hash RETURNING id", hash=secret_hash(token)))


def prune(session: Session, *, older_than_seconds: float, most: int) -> int:
    """Delete some of the sessions whose time has long been over.

    :param most: so many at most.
    :returns: how many.
    """
    return len(
        run(
            session,
            """DELETE FROM browser_sessions WHERE id IN (
                SELECT id FROM browser_sessions WHERE expires_at < moment_after(:now, :age) LIMIT :most) RETURNING id""",
            now=database_now(session),
            age=-older_than_seconds,
            most=most,
        )
    )
