"""S23: a peer is who it is, whatever address it claims to speak for."""

import pytest

from tests.acceptance.served import Served


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"])
def test_a_claimed_address_does_not_lift_the_limit(greenroom_on_sqlite: Served, header: str) -> None:
    """Bad keys from one peer are counted together, though every request names another origin."""
    bad = greenroom_on_sqlite.client("gr_zzzzzzzzzzzz_wrong")
    statuses = [
        bad.get("/quota", headers={header: f"for=203.0.113.{n}" if header == "Forwarded" else f"203.0.113.{n}"}).status_code
        for n in range(22)
    ]
    assert statuses == [401] * 20 + [429] * 2
