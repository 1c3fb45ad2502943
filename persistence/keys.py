"""API keys: a prefix to find them by and the SHA-256 of a secret that is never stored."""

import hashlib
import secrets
from datetime import datetime
from typing import cast

from sqlalchemy import Index, func
from sqlmodel import Field, Session, SQLModel, col, select, update

from persistence import tables
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.errors import NotFoundError, ValidationError
from persistence.ids import is_id

SCOPES = ("user", "admin")

_MARK = "gr"
_PREFIX_LENGTH = 12
_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_SECRET_BYTES = 32
# Keys of another form than ours, as an operator may choose for the first admin key, are found by this and a digest.
_FIXED = "fixed-"


class ApiKey(SQLModel, table=True):
    """One key of one user; what it may do is its scope."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_user", "user_id", "id"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    prefix: str = Field(max_length=32, unique=True)
    secret_hash: str = Field(max_length=64)
    scope: str = Field(max_length=20)
    created_at: datetime = tables.instant(nullable=False)
    expires_at: datetime | None = tables.instant()
    revoked_at: datetime | None = tables.instant()


def prefixes(key: str) -> tuple[str, ...]:
    """List the prefixes under which a presented key may stand in the table; all of them are looked at alike."""
    mark, _, rest = key.partition("_")
    prefix, separator, _ = rest.partition("_")
    return (fixed_prefix(key), prefix) if mark == _MARK and separator else (fixed_prefix(key),)


def fixed_prefix(key: str) -> str:
    """Derive the prefix of a key that the operator chose, without giving any of it away."""
    return _FIXED + hashlib.sha256(b"greenroom prefix " + key.encode()).hexdigest()[:16]


def secret_hash(key: str) -> str:
    """Hash what a key holds in secret: all of it, for its secret alone has 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def create(session: Session, *, user_id: str, scope: str, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """Make a key for a user.

    :param scope: `user` or `admin`.
    :returns: its row, and the key itself, which nobody can read again.
    :raises ValidationError: there is no such scope, or the key would have expired already.
    """
    if scope not in SCOPES:
        raise ValidationError(f"scope: one of {', '.join(SCOPES)}", field="scope")
    now = _now(session)
    if expires_at is not None and expires_at <= now:
        raise ValidationError("expires_at: lies in the past", field="expires_at")
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
    key = f"{_MARK}_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(user_id=user_id, prefix=prefix, secret_hash=secret_hash(key), scope=scope, created_at=now, expires_at=expires_at)
    session.add(row)
    session.flush()
    return row, key


def fix(session: Session, *, user_id: str, key: str) -> None:
    """Make the key that the operator chose the only chosen one of its user: older ones are revoked, this one holds."""
    now = _now(session)
    prefix = fixed_prefix(key)
    session.exec(
        update(ApiKey)
        .where(col(ApiKey.user_id) == user_id)
        .where(col(ApiKey.prefix).startswith(_FIXED))
        .where(col(ApiKey.prefix) != prefix)
        .where(col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=now)
    )
    row = session.exec(select(ApiKey).where(ApiKey.prefix == prefix)).one_or_none()
    if row is None:
        row = ApiKey(user_id=user_id, prefix=prefix, secret_hash=secret_hash(key), scope="admin", created_at=now)
    row.revoked_at = None
    session.add(row)
    session.flush()


def find(session: Session, *, prefixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """List the id and the secret's hash of each key that a presented one might be."""
    query = select(ApiKey.id, ApiKey.secret_hash).where(col(ApiKey.prefix).in_(prefixes))
    return [(key_id, secret_hash) for key_id, secret_hash in session.exec(query)]


def page(session: Session, *, user_id: str, after: str | None, limit: int) -> list[ApiKey]:
    """List a user's keys, newest first, at most `limit`; `after` is the id of the last one of the page before."""
    query = select(ApiKey).where(ApiKey.user_id == user_id).order_by(col(ApiKey.id).desc()).limit(limit)
    if after is not None:
        query = query.where(col(ApiKey.id) < after)
    return list(session.exec(query))


def revoke(session: Session, *, key_id: str) -> ApiKey:
    """Revoke a key for good; one that is revoked already stays so.

    :raises NotFoundError: there is no such key.
    """
    if not is_id(key_id):
        raise NotFoundError
    session.exec(
        update(ApiKey).where(col(ApiKey.id) == key_id).where(col(ApiKey.revoked_at).is_(None)).values(revoked_at=_now(session))
    )
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFoundError
    return row


def has_live(session: Session, *, scope: str) -> bool:
    """Tell whether any key of the scope still works."""
    query = (
        select(ApiKey.id)
        .where(ApiKey.scope == scope)
        .where(col(ApiKey.revoked_at).is_(None))
        .where(col(ApiKey.expires_at).is_(None) | (col(ApiKey.expires_at) > func.clock_timestamp()))
    )
    return session.exec(query.limit(1)).first() is not None


def _now(session: Session) -> datetime:
    return cast("datetime", as_instant(database_now(session)))
