"""S5: keys are changed without a gap: the new one works before the old one ends."""

import time
from datetime import UTC, datetime, timedelta

from tests.acceptance.served import PATIENCE_SECONDS, Served


def test_both_keys_work_until_the_old_one_expires(greenroom: Served) -> None:
    """The old key works until its time, and is refused within a second after it; the new one works all along."""
    # given
    greenroom.put_user("ann")
    end = datetime.now(UTC) + timedelta(seconds=2)
    old = greenroom.client(greenroom.make_key("ann", expires_at=end.isoformat())["key"])
    new = greenroom.client(greenroom.make_key("ann")["key"])
    # when
    while_both = [(old.get("/quota").status_code, new.get("/quota").status_code) for _ in range(2)]
    refused_at = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while refused_at is None and time.monotonic() < deadline:
        asked = datetime.now(UTC)
        if old.get("/quota").status_code == 401:
            refused_at = asked
    # then
    assert while_both == [(200, 200), (200, 200)]
    assert refused_at is not None
    assert refused_at >= end - timedelta(seconds=1)  # asked before, answered after
    assert old.get("/quota").status_code == 401
    assert new.get("/quota").status_code == 200


def test_a_key_is_not_made_for_the_past(greenroom_on_sqlite: Served) -> None:
    """A time that has gone by, or one without a zone, is refused and no key is made."""
    greenroom_on_sqlite.put_user("ann")
    for moment in ("2020-01-01T00:00:00Z", "2040-01-01T00:00:00", "soon"):
        answer = greenroom_on_sqlite.admin.post("/users/ann/keys", json={"expires_at": moment})
        assert (answer.status_code, answer.json()["field"]) == (400, "expires_at")
    assert greenroom_on_sqlite.admin.get("/users/ann/keys").json()["items"] == []
