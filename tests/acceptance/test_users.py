"""Users, keys, tiers and quotas: what the operator says of whom, and what each may."""

import pytest

from tests.acceptance.served import ECHO, Served

LIMITS = {
    "max_active": 50, "max_running": 5, "max_payload_bytes": 1024, "max_items": 1, "submits_per_minute": 3, "weight": 1,
}  # fmt: skip


def test_a_user_is_made_and_changed(greenroom: Served) -> None:
    """PUT makes the user and its tenant with 201, changes the tier with 200, and never moves it to another tenant."""
    # when
    made = greenroom.admin.put("/users/ann@example.org", json={"tenant": "acme", "tier": "free"})
    changed = greenroom.admin.put("/users/ann@example.org", json={"tenant": "acme", "tier": "pro"})
    moved = greenroom.admin.put("/users/ann@example.org", json={"tenant": "globex", "tier": "pro"})
    # then
    assert [answer.status_code for answer in (made, changed, moved)] == [201, 200, 409]
    assert made.json() | {"tier": "pro"} == changed.json()
    assert moved.json()["code"] == "ILLEGAL_TRANSITION"
    listed = greenroom.admin.get("/users").json()["items"]
    assert [(user["name"], user["tenant"], user["tier"]) for user in listed] == [
        ("ann@example.org", "acme", "pro"),
        ("admin", "operator", "enterprise"),
    ]


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("-x", {"tenant": "acme", "tier": "pro"}, "user"),
        ("a b", {"tenant": "acme", "tier": "pro"}, "user"),
        ("x" * 101, {"tenant": "acme", "tier": "pro"}, "user"),
        ("ann", {"tenant": "", "tier": "pro"}, "tenant"),
        ("ann", {"tenant": "a\nb", "tier": "pro"}, "tenant"),
        ("ann", {"tenant": "acme", "tier": "platinum"}, "tier"),
        ("ann", {"tenant": "acme", "tier": "'; DROP TABLE users; --"}, "tier"),
        ("ann", {"tenant": "acme", "tier": 1}, "tier"),
    ],
)
def test_bad_names_make_nobody(greenroom_on_sqlite: Served, name: str, body: dict[str, object], field: str) -> None:
    """A name that is not one gives 400 with its field, and neither a user nor a tenant is left behind."""
    answer = greenroom_on_sqlite.admin.put(f"/users/{name}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert [user["name"] for user in greenroom_on_sqlite.admin.get("/users").json()["items"]] == ["admin"]


def test_keys_are_made_listed_and_paged(greenroom: Served) -> None:
    """A user has several keys, with or without an end and a scope; lists page through them, newest first."""
    # given
    greenroom.put_user("ann")
    made = [greenroom.make_key("ann", **asked) for asked in ({}, {"scope": "admin"}, {"expires_at": "2100-01-01T00:00:00Z"})]
    # when
    first = greenroom.admin.get("/users/ann/keys", params={"limit": 2}).json()
    second = greenroom.admin.get("/users/ann/keys", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    # then
    assert [key["id"] for key in first["items"] + second["items"]] == [key["id"] for key in reversed(made)]
    assert second["next_cursor"] is None
    assert first["items"][0]["expires_at"] == "2100-01-01T00:00:00Z"
    assert greenroom.client(made[1]["key"]).get("/users").status_code == 200
    assert greenroom.admin.post("/users/nobody/keys", json={}).status_code == 404


def test_a_body_may_be_left_out(greenroom_on_sqlite: Served) -> None:
    """Where every field is optional no body is as good as an empty one."""
    greenroom_on_sqlite.put_user("ann")
    assert greenroom_on_sqlite.admin.post("/users/ann/keys").status_code == 201


def test_shipped_tiers_are_what_the_contract_says(greenroom: Served) -> None:
    """free, pro and enterprise come with their limits, and any caller may read them."""
    tiers = {tier.pop("name"): tuple(tier.values()) for tier in greenroom.user("ann").get("/tiers").json()["items"]}
    assert tiers == {
        "free": (1, 1, 65_536, 3, 60, 1),
        "pro": (100, 5, 262_144, 10, 1_200, 4),
        "enterprise": (100_000, 50, 1_048_576, 50, 60_000, 16),
    }


def test_a_changed_tier_counts_at_once(greenroom: Served) -> None:
    """New limits are in the next quota and hold for the next submit."""
    # given
    user = greenroom.user("ann", tier="pro")
    job = {"type": ECHO, "payload": {"text": "x" * 2000}}
    assert user.post("/jobs", json=job).status_code == 202
    # when
    assert greenroom.admin.put("/tiers/pro", json=LIMITS).status_code == 200
    # then
    quota = user.get("/quota").json()
    assert quota["limits"] == LIMITS
    assert (quota["user"], quota["tenant"], quota["tier"]) == ("ann", "acme", "pro")
    assert quota["used"] == {"active": 1, "running": 0, "submits_this_minute": 1}
    assert user.post("/jobs", json=job).status_code == 413


def test_submits_a_minute_are_limited(greenroom: Served) -> None:
    """Beyond the tier's submits a minute a user gets 429 with Retry-After; a bulk counts one, and others are not held up."""
    # given
    greenroom.admin.put("/tiers/slow", json=LIMITS)
    slow, other = greenroom.user("ann", tier="slow"), greenroom.user("bob", tier="slow")
    job = {"type": ECHO, "payload": {}}
    # when
    taken = [slow.post("/jobs/bulk", json={"jobs": [job] * 5}), slow.post("/jobs", json=job), slow.post("/jobs", json=job)]
    refused = [slow.post("/jobs", json=job), slow.post("/jobs/bulk", json={"jobs": [job]})]
    # then
    assert [answer.status_code for answer in taken + refused] == [202, 202, 202, 429, 429]
    assert (refused[0].json()["code"], refused[0].json()["limit"]) == ("RATE_LIMITED", 3)
    assert 0 < int(refused[0].headers["retry-after"]) <= 60
    assert slow.get("/quota").json()["used"]["submits_this_minute"] == 3
    assert other.post("/jobs", json=job).status_code == 202
