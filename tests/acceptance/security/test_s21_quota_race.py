"""S21: a quota is exact under any race."""

from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.served import ECHO, Served

LIMITS = {
    "max_active": 5, "max_running": 5, "max_payload_bytes": 1024, "max_items": 1, "submits_per_minute": 1000, "weight": 1,
}  # fmt: skip


def test_a_hundred_submits_at_once_meet_the_quota_exactly(greenroom: Served) -> None:
    """Of 100 submits at the same time under a quota of five, exactly five are accepted and 95 told to come back."""
    # given
    greenroom.admin.put("/tiers/small", json=LIMITS)
    user = greenroom.user("ann", tier="small")
    # when
    with ThreadPoolExecutor(25) as threads:
        answers = list(threads.map(lambda n: user.post("/jobs", json={"type": ECHO, "payload": {"n": n}}), range(100)))
    # then
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(429)) == (5, 95)
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["code"], refused.json()["limit"]) == ("CONCURRENT_JOB_LIMIT", 5)
    assert int(refused.headers["retry-after"]) > 0
    assert len(user.get("/jobs").json()["items"]) == 5
    assert user.get("/quota").json()["used"]["active"] == 5
