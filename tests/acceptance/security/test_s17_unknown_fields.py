"""S17: nobody sets what is not theirs to set."""

import pytest

from tests.acceptance.served import ECHO, Served

JOB = {"type": ECHO, "payload": {}}


@pytest.mark.parametrize("field", ["user_id", "user", "tenant", "tier", "status", "attempt", "claim_no", "id", "slot"])
def test_a_job_takes_no_foreign_fields(greenroom_on_sqlite: Served, field: str) -> None:
    """A field that is not of a submission gives 400 with its name, alone and in a bulk, and no job is made."""
    user = greenroom_on_sqlite.user("ann")
    for path, body in (("/jobs", JOB | {field: 1}), ("/jobs/bulk", {"jobs": [JOB, JOB | {field: 1}]})):
        answer = user.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
        assert field in answer.json()["detail"]
    assert user.get("/jobs").json()["items"] == []


def test_other_bodies_take_none_either(greenroom_on_sqlite: Served) -> None:
    """Users, keys and tiers refuse unknown fields, and wrong types are not bent into right ones."""
    admin = greenroom_on_sqlite.admin
    greenroom_on_sqlite.put_user("ann")
    limits = dict.fromkeys(("max_active", "max_running", "max_payload_bytes", "max_items", "submits_per_minute", "weight"), 5)
    refused = [
        admin.put("/users/ann", json={"tenant": "acme", "tier": "pro", "unfinished": 0}),
        admin.put("/users/ann", json={"tenant": "acme", "tier": 5}),
        admin.put("/users/ann", json={"tenant": "acme"}),
        admin.post("/users/ann/keys", json={"prefix": "abc"}),
        admin.post("/users/ann/keys", json={"scope": "root"}),
        admin.put("/tiers/pro", json=limits | {"name": "x"}),
        admin.put("/tiers/pro", json=limits | {"max_active": "5"}),
        admin.put("/tiers/pro", json=limits | {"weight": 0}),
    ]
    assert [answer.status_code for answer in refused] == [400] * len(refused)
    assert admin.put("/tiers/new", json=limits).status_code == 201
