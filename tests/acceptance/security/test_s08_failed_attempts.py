"""S8: whoever fails to authenticate twenty times in a minute is told to wait."""

import httpx

from tests.acceptance.served import Served


def test_the_twenty_first_failure_is_told_to_wait(greenroom_on_sqlite: Served) -> None:
    """Twenty bad keys get 401, the next ones 429 with Retry-After; good keys from there and others' bad ones are not touched."""
    # given
    bad = greenroom_on_sqlite.client("gr_zzzzzzzzzzzz_wrong")
    # when
    answers = [bad.get("/quota") for _ in range(23)]
    good = greenroom_on_sqlite.admin.get("/quota")
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as elsewhere:
        other = elsewhere.get(f"{greenroom_on_sqlite.url}/api/v1/quota", headers={"Authorization": "Bearer wrong"})
    # then
    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 3
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    assert (good.status_code, other.status_code) == (200, 401)
