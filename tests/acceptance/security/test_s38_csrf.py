"""S38: a write that comes with a cookie has to come from our own page."""

import pytest

from tests.acceptance.browser_cookies import ask, sign_in
from tests.acceptance.security.operations import operations
from tests.acceptance.served import Served

WRITES = ("post", "put", "patch", "delete")


def test_every_write_needs_the_session_s_token(greenroom: Served) -> None:
    """Without the token, with a wrong one, another session's or two of them, every unsafe verb gives 403; nothing is written."""
    mine = sign_in(greenroom, greenroom.admin_key)
    other = sign_in(greenroom, greenroom.admin_key)
    writes = [one for one in operations(greenroom) if one.verb in WRITES]
    assert len(writes) > 10
    clients = {
        "none": mine.client(),
        "empty": mine.client(csrf=""),
        "wrong": mine.client(csrf="0" * 64),
        "another session's": mine.client(csrf=other.csrf),
        "the cookie's own": mine.client(csrf=mine.cookie),
    }
    answers = {
        (str(one), why): client.request(one.verb.upper(), one.fill(), json={} if one.media_types else None)
        for one in writes
        for why, client in clients.items()
    }
    assert {call: answer.status_code for call, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert {answer.json()["code"] for answer in answers.values()} == {"FORBIDDEN"}
    twice = [("X-CSRF-Token", mine.csrf), ("X-CSRF-Token", mine.csrf)]
    assert mine.client().post("/queue/pause", headers=twice).status_code == 403
    assert greenroom.admin.get("/queue").json()["paused"] is False


def test_our_own_page_may_write(greenroom: Served) -> None:
    """With the token a write is done, reading needs none, and a key in the header needs none either."""
    mine = sign_in(greenroom, greenroom.admin_key)
    assert mine.client(csrf=mine.csrf).post("/queue/pause").status_code == 200
    assert mine.client().get("/queue").json()["paused"] is True
    assert greenroom.admin.post("/queue/resume").status_code == 200
    assert mine.client(Authorization=f"Bearer {greenroom.admin_key}").post("/queue/pause").status_code == 200


def test_a_bad_key_is_not_helped_by_a_good_cookie(greenroom: Served) -> None:
    """Where there is a key in the header, it alone counts."""
    mine = sign_in(greenroom, greenroom.admin_key)
    assert mine.client(Authorization="Bearer garbage").get("/queue").status_code == 401
    assert greenroom.client(mine.cookie).get("/queue").status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_are_refused_by_the_browser_s_own_word(greenroom_on_sqlite: Served, site: str) -> None:
    """A page elsewhere, another port of this host included, can neither write with the token nor sign somebody in."""
    mine = sign_in(greenroom_on_sqlite, greenroom_on_sqlite.admin_key)
    headers = {"Sec-Fetch-Site": site}
    assert mine.client(csrf=mine.csrf).post("/queue/pause", headers=headers).status_code == 403
    assert ask(greenroom_on_sqlite, greenroom_on_sqlite.admin_key, **headers).status_code == 403
    assert mine.client(csrf=mine.csrf).post("/queue/pause", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_signing_out_needs_it_and_signing_in_cannot_be_a_form(greenroom_on_sqlite: Served) -> None:
    """Nobody else can sign a person out, and what a form of another site can send signs nobody in."""
    greenroom = greenroom_on_sqlite
    mine = sign_in(greenroom, greenroom.admin_key)
    assert mine.client().delete(f"{greenroom.url}/session").status_code == 403
    assert mine.is_good()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = greenroom.client().post(
            f"{greenroom.url}/session", content=b'{"key":"' + greenroom.admin_key.encode() + b'"}', headers={"Content-Type": kind}
        )
        assert answer.status_code == 415
    assert mine.client(csrf=mine.csrf).delete(f"{greenroom.url}/session").status_code == 204
    assert not mine.is_good()
