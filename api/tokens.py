"""Tokens: JSON web tokens of an identity provider, checked with the one key and the one algorithm of the settings."""

import re
from dataclasses import dataclass
from typing import Any

import jwt

from api.settings import JwtSettings
from persistence.errors import UnauthenticatedError
from persistence.keys import SCOPES

_LONGEST = 8 * 1024
# Headers that would have us take a key, or rules, from the token itself.
_FOREIGN = ("jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip")
_KEY_ID = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._:=-]{0,127}")
_REQUIRED = ("exp", "iss", "aud", "sub")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says of its bearer; `tenant` and `tier` may be missing."""

    sub: str
    scope: str
    tenant: str | None
    tier: str | None
    expires_at: float


class Tokens:
    """Checks tokens.

    :param settings: with a secret or a public key.
    """

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings

    @staticmethod
    def looks_like_one(text: str) -> bool:
        """Tell whether a text is in the form of a token: three parts, the first an object in base64."""
        return text.startswith("eyJ") and text.count(".") == 2  # noqa: PLR2004 - header.claims.signature

    def read(self, text: str) -> Claims:
        """Check a token.

        :raises UnauthenticatedError: whatever is wrong with it; nobody learns what.
        """
        if len(text) > _LONGEST:
            raise UnauthenticatedError
        try:
            header = jwt.get_unverified_header(text)
            key_id = header.get("kid")
            if any(name in header for name in _FOREIGN) or header.get("alg") != self._settings.chosen_algorithm:
                raise UnauthenticatedError
            if key_id is not None and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id) and ".." not in key_id):
                raise UnauthenticatedError
            claims = jwt.decode(
                text,
                self._settings.key,
                algorithms=[self._settings.chosen_algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_seconds,
                options={"require": list(_REQUIRED)},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise UnauthenticatedError from error
        return _claims(claims)


def _claims(claims: dict[str, Any]) -> Claims:
    sub, tenant, tier, scope = (claims.get(name) for name in ("sub", "tenant", "tier", "scope"))
    words = scope.split() if isinstance(scope, str) else ["user"] if scope is None else []
    if not isinstance(sub, str) or not all(value is None or isinstance(value, str) for value in (tenant, tier)):
        raise UnauthenticatedError
    granted = [known for known in reversed(SCOPES) if known in words]
    if not granted:
        raise UnauthenticatedError
    return Claims(sub, granted[0], tenant, tier, float(claims["exp"]))
