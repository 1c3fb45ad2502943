"""S1: without a good key every answer is the same 401, whatever was wrong."""

from tests.acceptance.served import Served


def test_bad_keys_get_identical_answers(greenroom: Served) -> None:
    """No key, garbage, a wrong secret, an unknown prefix and a revoked key are answered with the same bytes."""
    # given
    greenroom.put_user("ann")
    made = greenroom.make_key("ann")
    good = greenroom.client(made["key"]).get("/quota")
    greenroom.admin.delete(f"/keys/{made['id']}")
    bad: dict[str, dict[str, str]] = {
        "none": {},
        "garbage": {"Authorization": "Bearer garbage"},
        "no scheme": {"Authorization": made["key"]},
        "another scheme": {"Authorization": "Basic YTpi"},
        "empty": {"Authorization": "Bearer"},
        "wrong secret": {"Authorization": f"Bearer gr_{made['prefix']}_{'x' * 43}"},
        "unknown prefix": {"Authorization": f"Bearer gr_zzzzzzzzzzzz_{'x' * 43}"},
        "not ASCII": {"Authorization": "Bearer g\xe4rbage"},
        "revoked": {"Authorization": f"Bearer {made['key']}"},
    }
    # when
    answers = {
        why: greenroom.client().get("/quota", headers={name.encode(): value.encode("latin-1") for name, value in headers.items()})
        for why, headers in bad.items()
    }
    # then
    assert good.status_code == 200
    assert {why: answer.status_code for why, answer in answers.items()} == dict.fromkeys(bad, 401)
    assert len({answer.content for answer in answers.values()}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers.values()} == {'Bearer realm="greenroom"'}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}
    assert answers["none"].json()["code"] == "UNAUTHENTICATED"


def test_two_keys_at_once_are_none(greenroom: Served) -> None:
    """A second Authorization header is a riddle that nobody solves in the caller's favour."""
    headers = [("Authorization", f"Bearer {greenroom.admin_key}"), ("Authorization", "Bearer other")]
    assert greenroom.client().get("/quota", headers=headers).status_code == 401
