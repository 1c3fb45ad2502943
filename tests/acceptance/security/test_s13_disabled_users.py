"""S13: a user who is kept out stays out, whatever is still valid."""

from tests.acceptance.security.tokens import HS256, token
from tests.acceptance.served import served


def test_a_disabled_user_gets_no_further(database_url: str) -> None:
    """Tokens that have not run out and keys that are not revoked give 401 while the user is disabled, and work again after."""
    with served(database_url, jwt=HS256) as greenroom:
        # given
        by_token = greenroom.client(token())
        assert by_token.get("/quota").status_code == 200
        by_key = greenroom.client(greenroom.make_key("ann")["key"])
        assert by_key.get("/quota").status_code == 200
        put = {"tenant": "acme", "tier": "pro"}
        # when
        disabled = greenroom.admin.put("/users/ann", json=put | {"disabled": True})
        kept_out = [client.get("/quota").status_code for client in (by_token, by_key)]
        other_tier = greenroom.client(token(tier="free")).get("/quota").status_code
        changed = greenroom.admin.put("/users/ann", json=put)
        still_out = [client.get("/quota").status_code for client in (by_token, by_key)]
        greenroom.admin.put("/users/ann", json=put | {"disabled": False})
        back = [client.get("/quota").status_code for client in (by_token, by_key)]
    # then
    assert (disabled.json()["disabled"], changed.json()["disabled"]) == (True, True)
    assert (kept_out, other_tier, still_out, back) == ([401, 401], 401, [401, 401], [200, 200])
