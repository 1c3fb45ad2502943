"""S41: no cookie's value comes back in a page: the token against forged writes is none, and never part of any markup."""

from tests.acceptance.browser_cookies import SECURE_NAME, sign_in
from tests.acceptance.served import Served

EVIL = '"><script>alert(1)</script>'


def test_what_a_cookie_says_is_never_repeated(greenroom_on_sqlite: Served) -> None:
    """The page is the same to the byte whatever cookies come with the request, and no answer repeats them."""
    greenroom = greenroom_on_sqlite
    plain = greenroom.client().get(f"{greenroom.url}/books").content
    for name in ("greenroom", SECURE_NAME, "csrftoken", "csrf", "x-csrf-token"):
        client = greenroom.client(Cookie=f"{name}={EVIL}")
        assert client.get(f"{greenroom.url}/books").content == plain
        assert client.get(f"{greenroom.url}/session").content == b""
        assert EVIL not in client.get("/quota").text
        assert EVIL not in str(client.get(f"{greenroom.url}/session").headers)


def test_the_token_is_no_cookie(greenroom_on_sqlite: Served) -> None:
    """It is derived from the session, differs between two of one key, tells nothing of the cookie, and only JSON holds it."""
    greenroom = greenroom_on_sqlite
    one, other = sign_in(greenroom, greenroom.admin_key), sign_in(greenroom, greenroom.admin_key)
    read = one.client().get(f"{greenroom.url}/session")
    assert read.json()["csrf"] == one.csrf != other.csrf
    assert read.headers["content-type"] == "application/json"
    assert read.headers["cache-control"] == "no-store"
    assert read.headers["cross-origin-resource-policy"] == "same-origin"
    assert "set-cookie" not in read.headers
    assert one.cookie not in read.text
    assert len(one.csrf) == 64
