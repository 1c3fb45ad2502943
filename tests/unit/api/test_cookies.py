"""Cookies: which session a request carries, and where one may begin without TLS."""

from typing import Any

import pytest

from api import cookies
from persistence.errors import ForbiddenError

TOKEN = "gr_session_abc"


def scope(method: str = "GET", **headers: str | list[str]) -> Any:
    """Make what the server knows of a request."""
    found = []
    for name, values in headers.items():
        found += [
            (name.replace("_", "-").encode(), value.encode()) for value in ([values] if isinstance(values, str) else values)
        ]
    return {"type": "http", "method": method, "headers": found}


@pytest.mark.parametrize(
    ("cookie", "host", "token"),
    [
        ("greenroom=a", "localhost:8000", "a"),
        ("greenroom=a", "LOCALHOST", "a"),
        ("greenroom=a", "[::1]", "a"),
        ("x=1;greenroom=a ;y=2", "127.0.0.1", "a"),
        ("greenroom=a", "jobs.example", None),
        ("greenroom=a", "localhost.evil.example", None),
        ("greenroom=a", "evil.example:localhost", None),
        ("__Host-greenroom=a", "jobs.example", "a"),
        ("__Host-greenroom=a; greenroom=b", "localhost", "a"),
        ("__Host-greenroom=; greenroom=b", "localhost", None),
        ("greenroom=a; greenroom=a", "localhost", "a"),
        ("greenroom=a; greenroom=b", "localhost", None),
        ("Greenroom=a", "localhost", None),
        ("greenroom=" + "a" * 201, "localhost", None),
        ("greenroom", "localhost", None),
        ("", "localhost", None),
    ],
)
def test_one_session_or_none(cookie: str, host: str, token: str | None) -> None:
    """The prefixed name counts everywhere, the plain one on this machine; what contradicts itself is nothing."""
    assert cookies.token_of(scope(cookie=cookie, host=host)) == token


@pytest.mark.parametrize(
    ("origin", "host", "plain"),
    [
        ([], "jobs.example", False),
        ("https://jobs.example", "jobs.example", False),
        ("http://localhost:1", "localhost:1", True),
        ("http://jobs.example", "jobs.example", None),
        (["https://localhost", "http://localhost"], "jobs.example", None),
        ("http://localhost", [], None),
    ],
)
def test_without_tls_on_this_machine_only(origin: str | list[str], host: str | list[str], plain: bool | None) -> None:
    """Elsewhere it is refused."""
    asked = scope(origin=origin, host=host)
    if plain is None:
        with pytest.raises(ForbiddenError):
            cookies.is_plain(asked)
    else:
        assert cookies.is_plain(asked) is plain


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "post"])
def test_writes_show_the_token(method: str) -> None:
    """Whatever is not known to be harmless needs it, once, and from a page of this origin."""
    good = cookies.csrf_token(TOKEN)
    cookies.check_csrf(scope(method, x_csrf_token=good), TOKEN)
    cookies.check_csrf(scope(method, x_csrf_token=good, sec_fetch_site="same-origin"), TOKEN)
    for headers in (
        {},
        {"x_csrf_token": good[:-1]},
        {"x_csrf_token": [good, good]},
        {"x_csrf_token": good, "sec_fetch_site": "cross-site"},
    ):
        with pytest.raises(ForbiddenError):
            cookies.check_csrf(scope(method, **headers), TOKEN)


def test_reading_needs_none() -> None:
    """What only reads is for whoever has the cookie."""
    for method in ("GET", "HEAD", "OPTIONS"):
        cookies.check_csrf(scope(method), TOKEN)


def test_taking_away_covers_both_names() -> None:
    """Signing out clears the cookie whatever it is called, and a Secure one stays Secure."""
    cleared = {cookie.key: cookie for cookie in cookies.cleared()}
    assert set(cleared) == {"__Host-greenroom", "greenroom"}
    assert {cookie.max_age for cookie in cleared.values()} == {0}
    assert cleared["__Host-greenroom"].secure
