"""Authentication: turns what stands in `Authorization` into a caller, or says no with always the same words."""

import asyncio
import hashlib
import hmac
import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from api.dependencies import Caller
from api.limits import Windows
from persistence import identities, keys, users
from persistence.database import Database
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

    async def identify(self, authorization: list[str], peer: str) -> Caller:
        """Find out who is calling.

        :param authorization: the values of all headers of this name.
        :param peer: address of the other end of the connection, whatever any header says.
        :raises UnauthenticatedError: nobody that is known here.
        :raises RateLimitedError: the peer has failed too often in the last minute. A good key is let in all the same: it
            cannot be guessed, and behind one address may be many.
        """
        if not authorization:
            raise UnauthenticatedError
        try:
            return await self._known(authorization)
        except UnauthenticatedError:
            wait = self._failures.take(_network(peer), _MOST_FAILURES)
            log.info("auth.refused", peer=peer, limited=bool(wait))
            if wait:
                raise RateLimitedError("too many failures to authenticate", retry_after=wait) from None
            raise

    def forget(self) -> None:
        """Look everybody up anew: something about users, keys or tiers was changed here."""
        self._remembered.clear()

    async def _known(self, authorization: list[str]) -> Caller:
        scheme, _, key = authorization[0].partition(" ")
        key = key.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not key.isascii() or not 0 < len(key) <= _LONGEST:
            raise UnauthenticatedError
        digest = hashlib.sha256(key.encode()).digest()
        remembered = self._remembered.get(digest)
        now = time.monotonic()
        if remembered is not None and remembered.until > now:
            if now - remembered.asked > _FRESH_SECONDS and digest not in self._asking:
                self._asking[digest] = asyncio.create_task(self._look_again(digest, key))
            return remembered.caller
        return await self._look_up(digest, key)

    async def _look_again(self, digest: bytes, key: str) -> None:
        try:
            await self._look_up(digest, key)
        except Exception:  # noqa: BLE001 - the edge of a task that nobody waits for: whoever calls next meets the same
            self._remembered.pop(digest, None)
        finally:
            del self._asking[digest]

    async def _look_up(self, digest: bytes, key: str) -> Caller:
        is_token = self._tokens is not None and self._tokens.looks_like_one(key)
        asked = time.monotonic()
        caller, good_seconds = await asyncio.to_thread(self._by_token if is_token else self._by_key, key)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = _Remembered(caller, asked, asked + min(good_seconds, _REMEMBERED_SECONDS))
        return caller

    def _by_key(self, key: str) -> tuple[Caller, float]:
        presented = keys.secret_hash(key)
        with self._database.read() as session:
            key_id = ""
            for candidate, secret_hash in keys.find(session, prefixes=keys.prefixes(key)) or [("", _NOBODYS_HASH)]:
                if hmac.compare_digest(secret_hash, presented):
                    key_id = candidate
            identity = identities.of_key(session, key_id=key_id) if key_id else None
        if identity is None:
            raise UnauthenticatedError
        left = identity.expires_in_seconds
        return _caller(identity, identity.scope), _REMEMBERED_SECONDS if left is None else left

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
        """
        # Litestar copies routers with all that hangs on them, so the authenticator hangs on the application.
        authenticator: Authenticator = scope["litestar_app"].state.authenticator
        scope["user"] = await authenticator.identify(*_presented(scope))
        await next_app(scope, receive, send)


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
