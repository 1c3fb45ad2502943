"""Cookies: how a browser carries its session, and how it proves that a write comes from our own page.

No header is believed that says how a proxy was reached. But a browser tells the origin of the page that signs in, and whoever
invents that says it of their own cookie only.
"""

import hashlib
import hmac

from litestar.datastructures import Cookie
from litestar.types import HTTPScope, Scope

from persistence.errors import ForbiddenError

CSRF_HEADER = "x-csrf-token"
# The browser itself holds to what this prefix promises: Secure, for this host alone, so that no neighbour can set it.
_SECURE_NAME = "__Host-greenroom"
# Some browsers keep no Secure cookie of http://localhost; there, and only there, it goes by this name.
_LOCAL_NAME = "greenroom"
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LONGEST = 200


def token_of(scope: Scope) -> str | None:
    """Find the session that a request carries; None when it carries none, or two that contradict each other."""
    pairs = [pair.partition("=") for line in _values(scope, "cookie") for pair in line.split(";")]
    for name in (_SECURE_NAME, _LOCAL_NAME) if _is_local(scope) else (_SECURE_NAME,):
        found = {value.strip() for key, _, value in pairs if key.strip() == name}
        if found:
            token = found.pop()
            return token if not found and token.isascii() and 0 < len(token) <= _LONGEST else None
    return None


def is_plain(scope: HTTPScope) -> bool:
    """Tell whether a page was reached without TLS, on the very machine that it came from.

    :raises ForbiddenError: without TLS, and not on this machine: all on the way could read what is signed in with.
    """
    if not any(origin.startswith("http:") for origin in _values(scope, "origin")):
        return False
    if not _is_local(scope):
        raise ForbiddenError("signing in needs https, except on the machine that Greenroom runs on")
    return True


def made(token: str, *, seconds: float, plain: bool) -> Cookie:
    """Make the cookie that gives a browser its session.

    :param plain: whether it travels without TLS.
    """
    return _cookie(_LOCAL_NAME if plain else _SECURE_NAME, token, int(seconds))


def cleared() -> list[Cookie]:
    """Make the cookies that take it away again, by whichever name it goes."""
    return [_cookie(name, "", 0) for name in (_SECURE_NAME, _LOCAL_NAME)]


def csrf_token(token: str) -> str:
    """Derive what a page has to show beside its cookie: other sites can send the cookie, and cannot read this."""
    return hmac.new(token.encode(), b"greenroom csrf", hashlib.sha256).hexdigest()


def check_csrf(scope: HTTPScope, token: str) -> None:
    """Refuse a write that comes with a cookie and not from our own page.

    :raises ForbiddenError: it does not show the session's token.
    """
    if scope["method"] in _SAFE_METHODS:
        return
    check_site(scope)
    shown = _values(scope, CSRF_HEADER)
    if len(shown) != 1 or not hmac.compare_digest(shown[0].encode(), csrf_token(token).encode()):
        raise ForbiddenError("X-CSRF-Token: missing, or not of this session", field="X-CSRF-Token")


def check_site(scope: HTTPScope) -> None:
    """Refuse what a browser says to come from another site's page.

    :raises ForbiddenError: it says so.
    """
    if any(site not in {"same-origin", "none"} for site in _values(scope, "sec-fetch-site")):
        raise ForbiddenError("only Greenroom's own pages may do this")


def _cookie(name: str, value: str, seconds: int) -> Cookie:
    return Cookie(name, value=value, max_age=seconds, secure=name == _SECURE_NAME, httponly=True, samesite="strict")


def _is_local(scope: Scope) -> bool:
    hosts = _values(scope, "host")
    return len(hosts) == 1 and any(hosts[0].lower() in {host, f"{host}:{hosts[0].rpartition(':')[2]}"} for host in _LOCAL_HOSTS)


def _values(scope: Scope, name: str) -> list[str]:
    wanted = name.encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]
