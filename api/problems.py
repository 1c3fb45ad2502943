"""Problems: every error leaves the API as `application/problem+json` (RFC 9457) with a stable code, and no more than that."""

from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.types import Method

from persistence.database import is_repeatable
from persistence.errors import (
    DatabaseUnavailableError,
    ForbiddenError,
    GreenroomError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitedError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
    ValidationError,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# The one table from codes to statuses; a test walks the tree of errors and finds each of them here.
STATUSES: dict[str, HTTPStatus] = {
    "VALIDATION": HTTPStatus.BAD_REQUEST,
    "UNKNOWN_JOB_TYPE": HTTPStatus.BAD_REQUEST,
    "TOO_MANY_ITERATIONS": HTTPStatus.BAD_REQUEST,
    "STORY_TOO_LARGE": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "FORBIDDEN": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "METHOD_NOT_ALLOWED": HTTPStatus.METHOD_NOT_ALLOWED,
    "JOB_FINISHED": HTTPStatus.CONFLICT,
    # Not 503: until its operator does something, no later try will fare better.
    "NOT_CONFIGURED": HTTPStatus.CONFLICT,
    "ILLEGAL_TRANSITION": HTTPStatus.CONFLICT,
    "PAYLOAD_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "UNSUPPORTED_MEDIA_TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "IDEMPOTENCY_MISMATCH": HTTPStatus.UNPROCESSABLE_ENTITY,
    "CONCURRENT_JOB_LIMIT": HTTPStatus.TOO_MANY_REQUESTS,
    "RATE_LIMITED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    # What only the command line meets, and what nobody has a name for: the caller cannot do anything about it.
    "ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
    "MIGRATION_REFUSED": HTTPStatus.INTERNAL_SERVER_ERROR,
    "ROLE_REFUSED": HTTPStatus.INTERNAL_SERVER_ERROR,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
}
# Said with the same bytes whatever the reason, so that nobody learns from them what exists.
_SILENT = (UnauthenticatedError, NotFoundError)
_RETRY_AFTER_SECONDS = 2
_METHODS: tuple[Method, ...] = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

_LITESTARS: dict[int, type[GreenroomError]] = {
    400: ValidationError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
    429: RateLimitedError,
    503: DatabaseUnavailableError,
}


class MethodNotAllowedError(GreenroomError):
    """This address does not take this method."""

    code = "METHOD_NOT_ALLOWED"


class InternalError(GreenroomError):
    """Something went wrong here; it is in the log."""

    code = "INTERNAL"


class Problem(msgspec.Struct, omit_defaults=True):
    """An error as the caller sees it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    limit: int | None = None
    field: str | None = None
    retry_after: int | None = None
    setting: str | None = None


def describe(error: GreenroomError) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Turn an error into a response's status, headers and body."""
    status = STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    silent = isinstance(error, _SILENT) or status == HTTPStatus.INTERNAL_SERVER_ERROR
    body = {
        "type": f"urn:greenroom:problem:{error.code.lower().replace('_', '-')}",
        "title": title,
        "status": int(status),
        "detail": title if silent else error.message,
        "code": error.code,
    }
    fields = {} if silent else {name: value for name, value in error.fields.items() if name not in body}
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="greenroom"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        fields.setdefault("retry_after", _RETRY_AFTER_SECONDS)
        headers["Retry-After"] = str(fields["retry_after"])
    return int(status), headers, body | fields


def known(error: Exception) -> GreenroomError:
    """Find the error of our tree that says what an exception of a library means to a caller."""
    if isinstance(error, GreenroomError):
        return error
    if isinstance(error, HTTPException):
        return _from_litestar(error)
    if isinstance(error, RecursionError):
        return ValidationError("the JSON is nested too deeply")
    if is_repeatable(error):
        return DatabaseUnavailableError()
    return InternalError()


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a request whose handling ended in an exception; what nobody foresaw goes to the log."""
    problem = known(error)
    handler = request.scope.get("route_handler")
    if isinstance(problem, PayloadTooLargeError) and isinstance(handler, HTTPRouteHandler):
        problem.fields.setdefault("limit", handler.resolve_request_max_body_size())
    status, headers, body = describe(problem)
    if isinstance(problem, MethodNotAllowedError):
        headers["Allow"] = ", ".join(_methods(request))
    _log(request, error, problem, status)
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=MediaType.JSON)


def _methods(request: Request[Any, Any, Any]) -> list[Method]:
    """List what the address takes instead; Litestar knows, and does not say."""
    taken: list[Method] = []
    for method in _METHODS:
        with suppress(HTTPException):
            request.app.asgi_router.handle_routing(path=request.scope["path"], method=method)
            taken.append(method)
    return taken


def _log(request: Request[Any, Any, Any], error: Exception, problem: GreenroomError, status: int) -> None:
    what = {"method": request.method, "path": request.scope["path"], "code": problem.code}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        # Expected whenever the database is away, and then of every request: the reason will do.
        log.warning("request.unavailable", **what, error=type(error.__cause__ or error).__name__)
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and not _is_hang_up(error):
        log.error("request.failed", **what, exc_info=error)


def _from_litestar(error: HTTPException) -> GreenroomError:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        problems = [_sentence(entry) for entry in error.extra]
        field = error.extra[0].get("key") if error.extra else None
        return ValidationError("; ".join(problems), **({"field": field} if field else {}))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError()
    kind = _LITESTARS.get(error.status_code)
    if kind is None:
        return InternalError() if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else ValidationError(error.detail)
    return kind(error.detail) if kind is ValidationError else kind()


def _sentence(entry: dict[str, str]) -> str:
    return f"{entry['key']}: {entry['message']}" if "key" in entry else entry["message"]


def _is_hang_up(error: Exception) -> bool:
    """Tell whether the client went away in the middle of its body: Litestar calls that a server error."""
    return isinstance(error, HTTPException) and "disconnected" in error.detail


def specs(*statuses: HTTPStatus, public: bool = False) -> dict[int, ResponseSpec]:
    """Describe the problems of a handler for OpenAPI; 503, and 401 unless it is public, come with every one."""
    always = {HTTPStatus.SERVICE_UNAVAILABLE} if public else {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}
    return {
        int(status): ResponseSpec(Problem, description=status.phrase, media_type=MEDIA_TYPE, generate_examples=False)
        for status in sorted({*statuses, *always})
    }
