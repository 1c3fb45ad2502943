"""Tiers: the service levels, readable by all and edited by the operator."""

from http import HTTPStatus
from typing import Annotated

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
from persistence.users import Tier

log = structlog.get_logger(__name__)

_Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class TierLimits(msgspec.Struct, forbid_unknown_fields=True):
    """The limits of a tier."""

    max_active: _Limit
    max_running: _Limit
    max_payload_bytes: _Limit
    max_items: _Limit
    submits_per_minute: _Limit
    weight: _Limit


class TierOut(msgspec.Struct):
    """A tier."""

    name: str
    max_active: int
    max_running: int
    max_payload_bytes: int
    max_items: int
    submits_per_minute: int
    weight: int


_CREATED = {int(HTTPStatus.CREATED): ResponseSpec(TierOut, description="Created", generate_examples=False)}


class Tiers(Controller):
    """The tiers."""

    path = "/tiers"
    tags = ("tiers",)

    @get("/", sync_to_thread=True, responses=specs(HTTPStatus.BAD_REQUEST))
    def list_tiers(
        self,
        database: NamedDependency[Database],
        caller: NamedDependency[Caller],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[TierOut]:
        """List the tiers by name."""
        start = after(cursor, caller, is_key=users.is_name)
        with database.read() as session:
            rows = users.tiers(session, after=start, limit=limit + 1)
        return page(rows, limit=limit, caller=caller, key=lambda row: row.name, item=_seen)

    @put(
        "/{name:str}",
        guards=[admin_only],
        sync_to_thread=True,
        responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN) | _CREATED,
    )
    def put_tier(
        self,
        name: FromPath[str],
        data: JSONBody[TierLimits],
        database: NamedDependency[Database],
        authenticator: NamedDependency[Authenticator],
        caller: NamedDependency[Caller],
    ) -> Response[TierOut]:
        """Create a tier or change its limits, which count at once; 201 or 200."""
        limits = msgspec.structs.asdict(data)
        with database.write() as session:
            row, created = users.put_tier(session, name=name, limits=limits)
        authenticator.forget()
        log.info("tier.put", tier=name, limits=limits, by=caller.user_id)
        return Response(_seen(row), status_code=HTTPStatus.CREATED if created else HTTPStatus.OK)


def _seen(row: Tier) -> TierOut:
    return msgspec.convert(row, TierOut, from_attributes=True)


ROUTES = [Tiers]
