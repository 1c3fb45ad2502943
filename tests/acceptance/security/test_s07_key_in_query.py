"""S7: a key in the address opens nothing and stands in no log."""

import pytest

from tests.acceptance.served import Served, captured_logs


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "token", "authorization"])
def test_a_key_in_the_query_is_no_key(greenroom_on_sqlite: Served, name: str) -> None:
    """A good key in the query string gives 401, and the log has neither it nor the query."""
    with captured_logs() as log:
        answer = greenroom_on_sqlite.client().get("/quota", params={name: greenroom_on_sqlite.admin_key})
    assert answer.status_code == 401
    assert "/api/v1/quota" in log.getvalue()
    assert greenroom_on_sqlite.admin_key.split("_", 2)[2] not in log.getvalue()
    assert f"{name}=" not in log.getvalue()
