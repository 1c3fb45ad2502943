"""Authentication: turns what stands in `Authorization`, or a cookie, into a caller, or says no in always the same words."""

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api import cookies
from api.dependencies import Caller
from api.limits import Windows
from persistence import identities, keys, users
from persistence.database import Database, is_repeatable
from persistence.errors import GreenroomError, RateLimitedError, UnauthenticatedError
from persistence.identities import Identity

if TYPE_CHECKING:  # with it comes cryptography, which is large
    from api.tokens import Claims, Tokens

log = structlog.get_logger(__name__)

# A revoked key must be refused within a second on every process. Who goes on calling is looked up again before that, so
# that no call has to wait for it.
_REMEMBERED_SECONDS, _FRESH_SECONDS = 0.9, 0.4
_MOST_REMEMBERED = 10_000
_MOST_FAILURES = 20
_LONGEST = 8 * 1024
# Compared where no key has the prefix, so that this takes as long as a wrong secret.
_NOBODYS_HASH = hashlib.sha256(b"nobody").hexdigest()
_FIRST_TIER = "free"
_STREAM = b"text/event-stream"

_Look = Callable[[str], "tuple[Caller, float]"]


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    asked: float
    until: float


class Authenticator:
    """Knows who is calling.

    :param database: where users and keys are.
    :param tokens: what checks tokens; None when none are accepted.
    """

    def __init__(self, database: Database, tokens: "Tokens | None" = None) -> None:
        self._database = database
        self._tokens = tokens
        self._remembered: dict[bytes, _Remembered] = {}
        self._asking: dict[bytes, asyncio.Task[None]] = {}
        self._failures = Windows()

    async def identify(self, authorization: list[str], peer: str, *, browser: str | None = None) -> Caller:
        """Find out who is calling.

        :param authorization: the values of all headers of this name.
        :param peer: address of the other end of the connection, whatever any header says.
        :param browser: the session of a browser; counts where there is no such header.
        :raises UnauthenticatedError: nobody that is known here.
        :raises RateLimitedError: the peer has failed too often in the last minute. A good key is let in all the same: it
            cannot be guessed, and behind one address may be many.
        """
        if not authorization and browser is None:
            raise UnauthenticatedError
        with self._counting(peer):
            return await self.recognise(authorization, browser)

    async def recognise(self, authorization: list[str], browser: str | None) -> Caller:
        """Find out who is calling, and count nothing: for who was let in already.

        :raises UnauthenticatedError: nobody that is known here any more.
        """
        if not authorization and browser is not None:
            return await self._known(browser, self._by_browser)
        scheme, _, key = authorization[0].partition(" ")
        key = key.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not key.isascii() or not 0 < len(key) <= _LONGEST:
            raise UnauthenticatedError
        is_token = self._tokens is not None and self._tokens.looks_like_one(key)
        return await self._known(key, self._by_token if is_token else self._by_key)

    async def key_of(self, key: str, peer: str) -> tuple[Caller, str]:
        """Find whose key this is with which somebody signs in.

        :returns: the caller, and the key's id.
        :raises UnauthenticatedError: no key that is known here.
        :raises RateLimitedError: the peer has failed too often in the last minute.
        """
        with self._counting(peer):
            identity, key_id = await asyncio.to_thread(self._find_key, key)
        return _caller(identity, identity.scope), key_id

    def forget(self) -> None:
        """Look everybody up anew: something about users, keys or tiers was changed here."""
        self._remembered.clear()

    @contextmanager
    def _counting(self, peer: str) -> Iterator[None]:
        try:
            yield
        except UnauthenticatedError:
            wait = self._failures.take(_network(peer), _MOST_FAILURES)
            log.info("auth.refused", peer=peer, limited=bool(wait))
            if wait:
                raise RateLimitedError("too many failures to authenticate", retry_after=wait) from None
            raise

    async def _known(self, secret: str, look: _Look) -> Caller:
        # What is good as a session is none as a key, and the other way round.
        digest = hashlib.sha256(f"{look.__name__} {secret}".encode()).digest()
        remembered = self._remembered.get(digest)
        now = time.monotonic()
        if remembered is not None and remembered.until > now:
            if now - remembered.asked > _FRESH_SECONDS and digest not in self._asking:
                self._asking[digest] = asyncio.create_task(self._look_again(digest, secret, look))
            return remembered.caller
        return await self._look_up(digest, secret, look)

    async def _look_again(self, digest: bytes, secret: str, look: _Look) -> None:
        try:
            await self._look_up(digest, secret, look)
        except Exception:  # noqa: BLE001 - the edge of a task that nobody waits for: whoever calls next meets the same
            self._remembered.pop(digest, None)
        finally:
            del self._asking[digest]

    async def _look_up(self, digest: bytes, secret: str, look: _Look) -> Caller:
        asked = time.monotonic()
        caller, good_seconds = await asyncio.to_thread(look, secret)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = _Remembered(caller, asked, asked + min(good_seconds, _REMEMBERED_SECONDS))
        return caller

    def _by_key(self, key: str) -> tuple[Caller, float]:
        return _good(self._find_key(key)[0])

    def _find_key(self, key: str) -> tuple[Identity, str]:
        presented = keys.secret_hash(key)
        with self._database.read() as session:
            key_id = ""
            for candidate, secret_hash in keys.find(session, prefixes=keys.prefixes(key)) or [("", _NOBODYS_HASH)]:
                if hmac.compare_digest(secret_hash, presented):
                    key_id = candidate
            identity = identities.of_key(session, key_id=key_id) if key_id else None
        if identity is None:
            raise UnauthenticatedError
        return identity, key_id

    def _by_browser(self, token: str) -> tuple[Caller, float]:
        # Found by the hash of all of it, and nobody can aim at a hash: the time that it takes gives nothing away.
        with self._database.read() as session:
            identity = identities.of_browser_session(session, secret_hash=keys.secret_hash(token))
        if identity is None:
            raise UnauthenticatedError
        return _good(identity)

    def _by_token(self, token: str) -> tuple[Caller, float]:
        if self._tokens is None:
            raise UnauthenticatedError
        claims = self._tokens.read(token)
        with self._database.read() as session:
            identity = identities.of_user(session, name=claims.sub)
        if identity is None or claims.tier not in {None, identity.tier.name}:
            identity = self._provide_user(claims)
        if claims.tenant not in {None, identity.tenant}:
            raise UnauthenticatedError
        return _caller(identity, claims.scope), _REMEMBERED_SECONDS

    def _provide_user(self, claims: "Claims") -> Identity:
        """Make the user whom the identity provider vouches for, or give the tier that it now says.

        :raises UnauthenticatedError: the token does not say of which tenant, or what it says cannot be.
        """
        if claims.tenant is None:
            raise UnauthenticatedError
        try:
            with self._database.write() as session:
                users.put(session, name=claims.sub, tenant=claims.tenant, tier=claims.tier or _FIRST_TIER)
                identity = identities.of_user(session, name=claims.sub)
                if identity is None:  # disabled: nothing of what the token says is kept
                    raise UnauthenticatedError
                return identity
        except GreenroomError as error:
            if error.code in {"VALIDATION", "ILLEGAL_TRANSITION"}:
                raise UnauthenticatedError from error
            raise


class Authentication(ASGIMiddleware):
    """Lets a request through with its caller as `request.user`, or not at all."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Put the caller into the scope.

        :raises UnauthenticatedError: there is none.
        :raises ForbiddenError: it comes with a browser's session, and may not come from our own page.
        """
        # Litestar copies routers with all that hangs on them, so the authenticator hangs on the application.
        authenticator: Authenticator = scope["litestar_app"].state.authenticator
        authorization, peer = _presented(scope)
        browser = None if authorization else cookies.token_of(scope)
        scope["user"] = await authenticator.identify(authorization, peer, browser=browser)
        if browser is not None and scope["type"] == ScopeType.HTTP:
            cookies.check_csrf(scope, browser)

        async def is_known() -> bool:
            try:
                await authenticator.recognise(authorization, browser)
            except UnauthenticatedError:
                return False
            except Exception as error:
                if not is_repeatable(error):
                    raise
            return True  # when the database is away, too: nothing new can come from it

        await next_app(scope, receive, _ending_streams(send, is_known))


def _ending_streams(send: Send, is_known: Callable[[], Awaitable[bool]]) -> Send:
    """End a stream, which outlives any look at its key, with the first thing to be told after the key has ended."""
    is_stream = has_ended = False

    async def send_on(message: Message) -> None:
        nonlocal is_stream, has_ended
        if message["type"] == "http.response.start":
            is_stream = any(name == b"content-type" and kind.startswith(_STREAM) for name, kind in message["headers"])
        elif is_stream and message["type"] == "http.response.body":
            if has_ended:
                return
            if not await is_known():
                has_ended = True
                message["body"], message["more_body"] = b"", False
        await send(message)

    return send_on


def _presented(scope: Scope | HTTPScope) -> tuple[list[str], str]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    client = scope.get("client")
    return values, client[0] if client else ""


def _network(peer: str) -> str:
    """Take what one customer of a provider has: an address, or with IPv6 the network that comes with it."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if address.version == 4:  # noqa: PLR2004
        return peer
    return str(ipaddress.ip_network((address, 64), strict=False))


def _good(identity: Identity) -> tuple[Caller, float]:
    left = identity.expires_in_seconds
    return _caller(identity, identity.scope), _REMEMBERED_SECONDS if left is None else left


def _caller(identity: Identity, scope: str) -> Caller:
    return Caller(
        user_id=identity.user_id,
        user_name=identity.user_name,
        tenant_id=identity.tenant_id,
        tenant=identity.tenant,
        tier=identity.tier.name,
        scope=scope,
        limits=identity.tier,
    )
