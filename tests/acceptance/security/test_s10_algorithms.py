"""S10: a token does not get to say how it is checked."""

import base64
import hashlib
import hmac
import json

import pytest

from tests.acceptance.security.tokens import HS256, PRIVATE_KEY, PUBLIC_PEM, RS256, claims, token
from tests.acceptance.served import served


def raw(header: dict[str, object], key: bytes | None) -> str:
    """A token put together by hand, signed with HMAC or not at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    body = b".".join(parts)
    signature = b"" if key is None else hmac.digest(key, body, hashlib.sha256)
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def test_only_the_chosen_algorithm_counts(sqlite_database: str) -> None:
    """With a shared secret: `none` in any spelling, another length of HMAC and RSA are refused; HS256 is taken."""
    with served(sqlite_database, jwt=HS256) as greenroom:
        bad = [raw({"alg": spelling, "typ": "JWT"}, None) for spelling in ("none", "None", "NONE", "")]
        bad += [token(algorithm="HS512"), token(key=PRIVATE_KEY, algorithm="RS256"), raw({"typ": "JWT"}, b"")]
        statuses = [greenroom.client(text).get("/quota").status_code for text in bad]
        good = greenroom.client(token()).get("/quota")
    assert statuses == [401] * len(bad)
    assert (good.status_code, good.json()["tier"]) == (200, "pro")


def test_a_public_key_is_no_secret(sqlite_database: str) -> None:
    """With a public key: a token signed with that key's text as an HMAC secret is refused; RS256 is taken."""
    with served(sqlite_database, jwt=RS256) as greenroom:
        swapped = raw({"alg": "HS256", "typ": "JWT"}, PUBLIC_PEM)
        stripped = raw({"alg": "HS256", "typ": "JWT"}, PUBLIC_PEM.strip())
        statuses = [greenroom.client(text).get("/quota").status_code for text in (swapped, stripped)]
        good = greenroom.client(token(key=PRIVATE_KEY, algorithm="RS256")).get("/quota")
    assert statuses == [401, 401]
    assert good.status_code == 200


@pytest.mark.parametrize("crit", [["exp"], ["http://example.com/unknown"], [], "b64"])
def test_critical_headers_are_not_passed_over(sqlite_database: str, crit: object) -> None:
    """A token that says that something must be understood is refused, for nothing of that kind is."""
    with served(sqlite_database, jwt=HS256) as greenroom:
        assert greenroom.client(token(headers={"crit": crit})).get("/quota").status_code == 401


def test_without_settings_no_token_is_taken(sqlite_database: str) -> None:
    """An API without GREENROOM_JWT_* refuses every token."""
    with served(sqlite_database) as greenroom:
        assert greenroom.client(token()).get("/quota").status_code == 401
