"""S40: the session's cookie is for our own pages only, for no script, and for no line that others can read."""

import pytest

from api.settings import ApiSettings
from persistence import users
from tests import factories
from tests.acceptance.browser_cookies import LOCAL_NAME, SECURE_NAME, ask, cookies_of, sign_in
from tests.acceptance.served import Served, served


@pytest.mark.parametrize(
    ("host", "origin", "name"),
    [
        ("jobs.example", "https://jobs.example", SECURE_NAME),
        ("jobs.example", None, SECURE_NAME),
        ("localhost:8000", "https://localhost:8000", SECURE_NAME),
        ("localhost:8000", "http://localhost:8000", LOCAL_NAME),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", LOCAL_NAME),
        ("[::1]:8000", "http://[::1]:8000", LOCAL_NAME),
    ],
)
def test_its_attributes(sqlite_database: str, host: str, origin: str | None, name: str) -> None:
    """HttpOnly, SameSite=Strict, for the whole site and no other; Secure everywhere but on plain HTTP to this machine itself."""
    with served(sqlite_database, settings=ApiSettings(port=0, allowed_hosts="jobs.example", session_hours=1)) as greenroom:
        headers = {"Host": host} | ({"Origin": origin} if origin else {})
        answer = greenroom.client().post(f"{greenroom.url}/session", json={"key": greenroom.admin_key}, headers=headers)
        (cookie,) = cookies_of(answer)
        asked = greenroom.client(Host=host, Cookie=f"{name}={cookie.value}").get("/quota")
    assert answer.status_code == 201
    assert (cookie.key, cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (name, True, "strict", "/")
    assert bool(cookie["secure"]) == (name == SECURE_NAME)
    assert (cookie["domain"], cookie["max-age"]) == ("", "3600")
    assert asked.status_code == 200


def test_nobody_signs_in_where_others_can_read_it(sqlite_database: str) -> None:
    """On plain HTTP to another machine the answer is 403, before the key is looked at, and in words."""
    with served(sqlite_database, settings=ApiSettings(port=0, allowed_hosts="jobs.example")) as greenroom:
        headers = {"Host": "jobs.example", "Origin": "http://jobs.example"}
        answers = [ask(greenroom, key, **headers) for key in (greenroom.admin_key, "garbage")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert "https" in answers[0].json()["detail"]
    assert "set-cookie" not in answers[0].headers


def test_a_neighbour_s_cookie_is_not_ours(sqlite_database: str) -> None:
    """The name that a neighbouring host could set counts on this machine only; two cookies that differ are none."""
    with served(sqlite_database, settings=ApiSettings(port=0, allowed_hosts="jobs.example")) as greenroom:
        mine = sign_in(greenroom, greenroom.admin_key)
        other = sign_in(greenroom, greenroom.admin_key)

        def asked(host: str, cookie: str) -> int:
            return greenroom.client(Host=host, Cookie=cookie).get("/quota").status_code

        assert asked("jobs.example", f"{LOCAL_NAME}={mine.cookie}") == 401
        assert asked("jobs.example", f"{SECURE_NAME}={mine.cookie}") == 200
        assert asked("localhost", f"{LOCAL_NAME}={mine.cookie}; a=b") == 200
        assert asked("localhost", f"{LOCAL_NAME}={mine.cookie}; {LOCAL_NAME}={other.cookie}") == 401
        assert asked("localhost", f"{LOCAL_NAME}={other.cookie}; {SECURE_NAME}=garbage") == 401


def test_sessions_end(greenroom: Served) -> None:
    """Signing in again ends the session before; a key that expires or is revoked and a user who is disabled end theirs."""
    greenroom.put_user("ann")
    first, second = greenroom.make_key("ann"), greenroom.make_key("ann")
    mine = sign_in(greenroom, first["key"])
    again = mine.client().post(f"{greenroom.url}/session", json={"key": second["key"]}, headers={"Origin": greenroom.url})
    assert again.status_code == 201
    assert not mine.is_good()

    mine, other = sign_in(greenroom, first["key"]), sign_in(greenroom, second["key"])
    greenroom.admin.delete(f"/keys/{first['id']}")
    assert (mine.is_good(), other.is_good()) == (False, True)
    greenroom.admin.put("/users/ann", json={"tenant": "acme", "tier": "pro", "disabled": True})
    assert not other.is_good()


def test_a_stream_ends_with_its_key(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open stream of events, begun with a key or a session of it, tells nothing more once the key is revoked."""
    monkeypatch.setattr("api.events.PING_SECONDS", 0.1)
    greenroom.put_user("ann")
    made = greenroom.make_key("ann")
    by_key, by_cookie = greenroom.client(made["key"]), sign_in(greenroom, made["key"]).client()
    with by_key.stream("GET", "/events") as one, by_cookie.stream("GET", "/events") as other:
        streams = [one.iter_lines(), other.iter_lines()]
        assert [next(lines) for lines in streams] == ["retry: 1000"] * 2
        greenroom.admin.delete(f"/keys/{made['id']}")
        with greenroom.database.write() as session:
            factories.submit(session, users.find(session, name="ann").id)
        told = [[line for line in lines if line.startswith(("event", "data"))] for lines in streams]  # both end by themselves
    assert told == [[], []]


def test_guessing_is_limited(greenroom_on_sqlite: Served) -> None:
    """Wrong keys on the page and made-up cookies count as other failures do: after twenty a minute the answer is 429."""
    greenroom = greenroom_on_sqlite
    statuses = [ask(greenroom, "garbage").status_code for _ in range(11)]
    statuses += [greenroom.client(Cookie=f"{LOCAL_NAME}=gr_session_{number}").get("/quota").status_code for number in range(11)]
    assert statuses == [401] * 20 + [429] * 2
    assert ask(greenroom, greenroom.admin_key).status_code == 201
