"""The edge: what every request and response passes, before and after Litestar; no header is believed that a peer may invent."""

import ipaddress
import re
import time
from collections.abc import Sequence

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api.problems import describe
from persistence.errors import GreenroomError, ValidationError

log = structlog.get_logger(__name__)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://(.+)")

# What a response says unless its handler knows better: nothing is cached, guessed, framed or run.
_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
# The docs page runs scripts and styles of our own and draws icons that are part of them.
_DOCS = "/schema"
_DOCS_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Edge:
    """Checks where a request says it goes and comes from, and writes the line about it.

    :param app: Litestar's own stack.
    :param allowed_hosts: names beside loopback and the address that was connected to.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset((*_LOOPBACK, *allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = list(message["headers"])
                present = {name.lower() for name, _ in headers}
                ours = _HEADERS
                if scope["path"] == _DOCS or scope["path"].startswith(f"{_DOCS}/"):
                    ours = _HEADERS | {b"content-security-policy": _DOCS_POLICY}
                headers += [(name, value) for name, value in ours.items() if name not in present]
                message["headers"] = headers
            await send(message)

        try:
            self._check(scope)
        except ValidationError as error:
            await _answer(error, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)
        finally:
            _log(scope, status, time.monotonic() - started)

    def _check(self, scope: HTTPScope) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope):
            raise ValidationError("Host: not a name of this server; GREENROOM_ALLOWED_HOSTS lists them", field="Host")
        for origin in (value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"):
            match = _ORIGIN.fullmatch(origin)
            # No other site may have a browser call us: there is no CORS, and here not even an attempt.
            if match is None or not self._is_ours(match[1], scope):
                raise ValidationError("Origin: not of this server", field="Origin")
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise ValidationError("the character U+0000 is not allowed")

    def _is_ours(self, host: str, scope: HTTPScope) -> bool:
        match = _HOST.fullmatch(host)
        if match is None or int(match[3] or 0) > 65535:  # noqa: PLR2004 - the highest port
            return False
        name = (match[1] or match[2]).lower()
        if name in self._allowed:
            return True
        # An address that was connected to: no name points there, so no other site can have led a browser to it.
        server = scope.get("server")
        return server is not None and _same_address(name, server[0])


def _same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other.partition("%")[0])
    except ValueError:
        return False


async def _answer(error: GreenroomError, send: Send) -> None:
    status, headers, body = describe(error)
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body), "more_body": False})


def _log(scope: HTTPScope, status: int, seconds: float) -> None:
    client = scope.get("client")
    write = log.info if status >= 400 else log.debug  # noqa: PLR2004 - from here on the caller did something wrong
    # The path without its query, where some people put their keys.
    write(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        milliseconds=round(seconds * 1000, 1),
        peer=client[0] if client else None,
    )
