"""Users: the operator makes them and says of which tenant and tier they are."""

from datetime import datetime
from http import HTTPStatus

import msgspec
import structlog
from litestar import Controller, Response, get, put
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody

from api.auth import Authenticator
from api.dependencies import Caller, admin_only
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from persistence import users
from persistence.database import Database
from persistence.users import User

log = structlog.get_logger(__name__)


class UserIn(msgspec.Struct, forbid_unknown_fields=True):
    """What the operator says of a user; `disabled` stays as it is when it is left out."""

    tenant: str
    tier: str
    disabled: bool | None = None


class UserOut(msgspec.Struct):
    """A user as the operator sees one."""

    id: str
    name: str
    tenant: str
    tier: str
    disabled: bool
    created_at: datetime


_CREATED = {int(HTTPStatus.CREATED): ResponseSpec(UserOut, description="Created", generate_examples=False)}


class Users(Controller):
    """The users of all tenants."""

    path = "/users"
    guards = (admin_only,)
    tags = ("users",)

    @put(
        "/{user:str}",
        sync_to_thread=True,
        responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT) | _CREATED,
    )
    def put_user(
        self,
        user: FromPath[str],
        data: JSONBody[UserIn],
        database: NamedDependency[Database],
        authenticator: NamedDependency[Authenticator],
        caller: NamedDependency[Caller],
    ) -> Response[UserOut]:
        """Create a user, and its tenant if that is new, or change its tier; 201 or 200."""
        with database.write() as session:
            row, created = users.put(session, name=user, tenant=data.tenant, tier=data.tier, disabled=data.disabled)
        authenticator.forget()
        log.info("user.put", user=row.id, tier=row.tier, disabled=row.disabled_at is not None, by=caller.user_id)
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        return Response(_seen(row, data.tenant), status_code=status)

    @get("/", sync_to_thread=True, responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN))
    def list_users(
        self,
        database: NamedDependency[Database],
        caller: NamedDependency[Caller],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[UserOut]:
        """List all users, newest first."""
        with database.read() as session:
            rows = users.page(session, after=after(cursor, caller), limit=limit + 1)
        return page(rows, limit=limit, caller=caller, key=lambda row: row[0].id, item=lambda row: _seen(*row))


def _seen(user: User, tenant: str) -> UserOut:
    return UserOut(user.id, user.name, tenant, user.tier, user.disabled_at is not None, user.created_at)


ROUTES = [Users]
