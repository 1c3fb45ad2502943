"""Sessions: a person signs in on a page with a key, and from then on the browser carries a cookie that no script can read."""

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api import cookies
from api.auth import Authenticator
from api.dependencies import Caller
from api.problems import specs
from api.settings import ApiSettings
from persistence import browser_sessions
from persistence.database import Database
from persistence.errors import UnauthenticatedError

log = structlog.get_logger(__name__)

# Ours are far shorter; an operator's own choice may be longer.
_LONGEST_KEY = 1000


class SessionIn(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody signs in with."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_KEY)]


class SessionOut(msgspec.Struct, kw_only=True):
    """Who has signed in; `csrf` goes into the header `X-CSRF-Token` of every write that the cookie is sent with."""

    user: str
    tenant: str
    tier: str
    scope: str
    csrf: str
    upload_bytes: int


class NewSessionOut(SessionOut, kw_only=True):
    """A session just begun, and when it ends."""

    expires_at: datetime


@post(
    "/session",
    security=[{}],
    tags=["session"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        public=True,
    ),
)
async def sign_in(
    request: Request[Any, Any, State],
    data: JSONBody[SessionIn],
    authenticator: NamedDependency[Authenticator],
    database: NamedDependency[Database],
    settings: NamedDependency[ApiSettings],
) -> Response[NewSessionOut]:
    """Sign in with an API key: the answer sets the session's cookie. Another session of the same browser ends."""
    cookies.check_site(request.scope)
    seconds = settings.session_hours * 3600
    plain = cookies.is_plain(request.scope)
    caller, key_id = await authenticator.key_of(data.key, _peer(request))
    before = cookies.token_of(request.scope)

    def begin() -> tuple[str, datetime]:
        with database.write() as session:
            if before is not None:
                browser_sessions.end(session, token=before)
            return browser_sessions.begin(session, key_id=key_id, seconds=seconds)

    token, expires_at = await asyncio.to_thread(begin)
    if before is not None:
        authenticator.forget()
    log.info("session.begun", key_id=key_id, user=caller.user_id)
    shown = NewSessionOut(**msgspec.structs.asdict(_seen(caller, token, settings)), expires_at=expires_at)
    return Response(shown, cookies=[cookies.made(token, seconds=seconds, plain=plain)])


@get(
    "/session",
    security=[{}],
    tags=["session"],
    responses=specs(HTTPStatus.TOO_MANY_REQUESTS, public=True),
)
async def read_session(
    request: Request[Any, Any, State], authenticator: NamedDependency[Authenticator], settings: NamedDependency[ApiSettings]
) -> Response[SessionOut] | Response[None]:
    """Tell who has signed in; 204 when nobody has, for a page that asks is not in the wrong."""
    token = cookies.token_of(request.scope)
    if token is None:
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    try:
        caller = await authenticator.identify([], _peer(request), browser=token)
    except UnauthenticatedError:
        return Response(None, status_code=HTTPStatus.NO_CONTENT, cookies=cookies.cleared())
    return Response(_seen(caller, token, settings))


@delete(
    "/session",
    security=[{}],
    tags=["session"],
    responses=specs(HTTPStatus.FORBIDDEN, public=True),
)
async def sign_out(
    request: Request[Any, Any, State], authenticator: NamedDependency[Authenticator], database: NamedDependency[Database]
) -> Response[None]:
    """Sign out: the session ends on every process within a second, and its streams tell nothing more."""
    token = cookies.token_of(request.scope)
    if token is not None:
        cookies.check_csrf(request.scope, token)

        def end() -> bool:
            with database.write() as session:
                return browser_sessions.end(session, token=token)

        if await asyncio.to_thread(end):
            log.info("session.ended")
        authenticator.forget()
    return Response(None, status_code=HTTPStatus.NO_CONTENT, cookies=cookies.cleared())


def _seen(caller: Caller, token: str, settings: ApiSettings) -> SessionOut:
    return SessionOut(
        user=caller.user_name,
        tenant=caller.tenant,
        tier=caller.tier,
        scope=caller.scope,
        csrf=cookies.csrf_token(token),
        upload_bytes=settings.upload_bytes,
    )


def _peer(request: Request[Any, Any, State]) -> str:
    return request.client.host if request.client else ""


ROUTES = [sign_in, read_session, sign_out]
