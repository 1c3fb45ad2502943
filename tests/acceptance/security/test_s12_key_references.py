"""S12: a token does not bring its own key along, nor say where to get one."""

import json

import jwt
import pytest

from tests.acceptance.security.tokens import PRIVATE_KEY, RS256, token
from tests.acceptance.served import served

JWK = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE_KEY.public_key()))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note every connection that the process asks for, other than those of the test's own client."""
    made: list[object] = []

    def note(*arguments: object, **words: object) -> object:
        made.append(arguments)
        raise OSError("nothing is fetched")

    monkeypatch.setattr("urllib.request.urlopen", note)
    monkeypatch.setattr("http.client.HTTPConnection.connect", note)
    return made


@pytest.mark.parametrize(
    "headers",
    [
        {"jku": "http://127.0.0.1:9/jwks.json"},
        {"x5u": "http://127.0.0.1:9/cert.pem"},
        {"jwk": JWK},
        {"x5c": ["MIIB"]},
        {"kid": "../../../../dev/null"},
        {"kid": "/etc/passwd"},
        {"kid": "key' OR '1'='1"},
        {"kid": "a..b"},
    ],
    ids=lambda headers: f"{next(iter(headers))}={str(next(iter(headers.values())))[:20]}",
)
def test_references_are_refused(sqlite_database: str, fetched: list[object], headers: dict[str, object]) -> None:
    """Even with a good signature a token with a reference to a key gives 401, and nothing is fetched."""
    with served(sqlite_database, jwt=RS256) as greenroom:
        text = token(key=PRIVATE_KEY, algorithm="RS256", headers=headers)
        assert greenroom.client(text).get("/quota").status_code == 401
    assert fetched == []


def test_an_ordinary_key_id_is_taken(sqlite_database: str) -> None:
    """What identity providers usually put there does no harm."""
    with served(sqlite_database, jwt=RS256) as greenroom:
        text = token(key=PRIVATE_KEY, algorithm="RS256", headers={"kid": "2026-11_main"})
        assert greenroom.client(text).get("/quota").status_code == 200
