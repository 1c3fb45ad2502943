"""S16: an idempotency key is its user's own."""

from tests.acceptance.served import ECHO, Served

JOB = {"type": ECHO, "payload": {"n": 1}}


def test_the_same_key_of_two_tenants_makes_two_jobs(greenroom: Served) -> None:
    """Two users who choose the same key get a job each; the one who asks again gets the same one."""
    headers = {"Idempotency-Key": "order-1"}
    one, other = greenroom.user("ann", tenant="acme"), greenroom.user("bob", tenant="globex")
    first, second, again = (client.post("/jobs", json=JOB, headers=headers) for client in (one, other, one))
    assert [answer.status_code for answer in (first, second, again)] == [202, 202, 202]
    assert first.json()["id"] != second.json()["id"]
    assert first.json()["id"] == again.json()["id"]
    assert (first.headers.get("idempotent-replayed"), again.headers.get("idempotent-replayed")) == (None, "true")
