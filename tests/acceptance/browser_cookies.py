"""Browsers' sessions without a browser: what one sends and is sent."""

from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx

from tests.acceptance.served import Served

SECURE_NAME, LOCAL_NAME = "__Host-greenroom", "greenroom"


@dataclass
class SignedIn:
    """A session as a browser on this machine has it.

    :param cookie: its secret.
    :param csrf: what its page shows with every write.
    """

    greenroom: Served
    cookie: str
    csrf: str

    def client(self, *, csrf: str | None = None, **headers: str) -> httpx.Client:
        """Give a client that sends the cookie, and the token if one is given."""
        if csrf is not None:
            headers["X-CSRF-Token"] = csrf
        return self.greenroom.client(Cookie=f"{LOCAL_NAME}={self.cookie}", **headers)

    def is_good(self) -> bool:
        """Tell whether it opens anything."""
        status = self.client().get("/quota").status_code
        assert status in {200, 401}
        return status == 200


def ask(greenroom: Served, key: str, **headers: str) -> httpx.Response:
    """Sign in as a page does."""
    return greenroom.client().post(f"{greenroom.url}/session", json={"key": key}, headers={"Origin": greenroom.url} | headers)


def sign_in(greenroom: Served, key: str) -> SignedIn:
    """Sign in with a key that has to be accepted."""
    answer = ask(greenroom, key)
    assert answer.status_code == 201, answer.text
    (cookie,) = cookies_of(answer)
    return SignedIn(greenroom, cookie.value, answer.json()["csrf"])


def cookies_of(answer: httpx.Response) -> list["Morsel[Any]"]:
    """Read the cookies that an answer sets."""
    read: SimpleCookie = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        read.load(line)
    return list(read.values())
