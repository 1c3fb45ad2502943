"""API keys: made, listed without their secrets, and revoked."""

from datetime import datetime
from http import HTTPStatus
from typing import Literal

import msgspec
import structlog
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.auth import Authenticator
from api.dependencies import Caller, admin_only
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from persistence import keys, users
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.keys import ApiKey

log = structlog.get_logger(__name__)


class KeyIn(msgspec.Struct, forbid_unknown_fields=True):
    """What a new key may do, and until when."""

    expires_at: datetime | None = None
    scope: Literal["user", "admin"] = "user"


class KeyOut(msgspec.Struct, kw_only=True):
    """A key without what it is made of."""

    id: str
    user: str
    prefix: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKeyOut(KeyOut, kw_only=True):
    """A key just made; `key` is shown this once."""

    key: str


class Keys(Controller):
    """The keys of users."""

    guards = (admin_only,)
    tags = ("keys",)

    @post(
        "/users/{user:str}/keys",
        sync_to_thread=True,
        responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
    )
    def create_key(
        self,
        user: FromPath[str],
        database: NamedDependency[Database],
        caller: NamedDependency[Caller],
        data: JSONBody[KeyIn | None] = None,
    ) -> NewKeyOut:
        """Make a key for a user."""
        asked = data or KeyIn()
        if asked.expires_at is not None and asked.expires_at.tzinfo is None:
            raise ValidationError("expires_at: needs a time zone", field="expires_at")
        with database.write() as session:
            owner = users.find(session, name=user)
            row, key = keys.create(session, user_id=owner.id, scope=asked.scope, expires_at=asked.expires_at)
        log.info("key.created", key_id=row.id, user=owner.id, scope=row.scope, by=caller.user_id)
        return NewKeyOut(**msgspec.structs.asdict(_seen(row)), key=key)

    @get(
        "/users/{user:str}/keys",
        sync_to_thread=True,
        responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
    )
    def list_keys(
        self,
        user: FromPath[str],
        database: NamedDependency[Database],
        caller: NamedDependency[Caller],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[KeyOut]:
        """List a user's keys, newest first."""
        with database.read() as session:
            owner = users.find(session, name=user)
            rows = keys.page(session, user_id=owner.id, after=after(cursor, caller), limit=limit + 1)
        return page(rows, limit=limit, caller=caller, key=lambda row: row.id, item=_seen)

    @delete("/keys/{id:str}", sync_to_thread=True, responses=specs(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND))
    def revoke_key(
        self,
        id: FromPath[str],
        database: NamedDependency[Database],
        authenticator: NamedDependency[Authenticator],
        caller: NamedDependency[Caller],
    ) -> None:
        """Revoke a key; within a second no process takes it any more."""
        with database.write() as session:
            row = keys.revoke(session, key_id=id)
        authenticator.forget()
        log.info("key.revoked", key_id=row.id, user=row.user_id, by=caller.user_id)


def _seen(row: ApiKey) -> KeyOut:
    return KeyOut(
        id=row.id,
        user=row.user_id,
        prefix=row.prefix,
        scope=row.scope,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


ROUTES = [Keys]
