"""S11: a token is good for a time, from one issuer and for one audience."""

import time
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from api.settings import JwtSettings
from tests.acceptance.security.tokens import AUDIENCE, HS256, ISSUER, SECRET, token
from tests.acceptance.served import served

BAD: dict[str, dict[str, Any]] = {
    "no exp": {"exp": None},
    "past exp": {"exp": int(time.time()) - 120},
    "exp is no time": {"exp": "tomorrow"},
    "not before": {"nbf": int(time.time()) + 1_000_000},
    "no iss": {"iss": None},
    "other iss": {"iss": f"{ISSUER}.evil.example"},
    "no aud": {"aud": None},
    "other aud": {"aud": "another-service"},
    "no sub": {"sub": None},
    "sub is no name": {"sub": "a b\n"},
    "no tenant": {"tenant": None},
    "unknown tier": {"tier": "platinum"},
    "unknown scope": {"scope": "root"},
    "scope is no text": {"scope": ["admin"]},
    "other key": {"key": SECRET[::-1]},
}


def test_each_claim_is_checked(database_url: str) -> None:
    """A token with a missing or wrong claim gives 401 and leaves no user behind; scopes are what the token says."""
    with served(database_url, jwt=HS256) as greenroom:
        # when
        statuses = {why: greenroom.client(token(**changed)).get("/quota").status_code for why, changed in BAD.items()}
        users_before = [user["name"] for user in greenroom.admin.get("/users").json()["items"]]
        as_user = greenroom.client(token()).get("/users")
        as_admin = greenroom.client(token(scope="jobs admin")).get("/users")
        # then
        assert statuses == dict.fromkeys(BAD, 401)
        assert users_before == ["admin"]
        assert (as_user.status_code, as_admin.status_code) == (403, 200)


def test_clocks_may_be_a_little_apart(sqlite_database: str) -> None:
    """A token that ran out within the leeway is still taken."""
    with served(sqlite_database, jwt=HS256) as greenroom:
        assert greenroom.client(token(exp=int(time.time()) - 5)).get("/quota").status_code == 200


def test_clocks_may_not_be_far_apart() -> None:
    """No setting allows more than a minute."""
    with pytest.raises(ValidationError):
        JwtSettings(secret=SecretStr(SECRET), issuer=ISSUER, audience=AUDIENCE, leeway_seconds=61)


def test_the_token_says_the_tier_but_not_a_new_tenant(database_url: str) -> None:
    """A user who comes by token has the tier of the last one; one with another tenant than the user's own is refused."""
    with served(database_url, jwt=HS256) as greenroom:
        first = greenroom.client(token(tier="free")).get("/quota").json()["tier"]
        then = greenroom.client(token(tier="enterprise")).get("/quota").json()["tier"]
        moved = greenroom.client(token(tenant="globex")).get("/quota").status_code
    assert (first, then, moved) == ("free", "enterprise", 401)
