"""S9: with a secret that others can guess the API does not start."""

import base64
import secrets

import pytest

from api.server import serve
from api.settings import ApiSettings, JwtSettings
from persistence.environment import SettingsError, load

WEAK = {
    "short": "Zq8vN2kL7xW4",
    "one character": "a" * 40,
    "a word again and again": "changeme" * 5,
    "digits again and again": "0123456789" * 4,
    "an example": "your-256-bit-secret-change-me-your-secret",
    "the words of a default": "super-secret-jwt-signing-key-change-me",
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK.keys())
def test_a_weak_secret_is_refused_at_start(weak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start ends with one line that names the setting and does not show its value."""
    for name, value in {"SECRET": weak, "ISSUER": "https://id.example", "AUDIENCE": "greenroom"}.items():
        monkeypatch.setenv(f"GREENROOM_JWT_{name}", value)
    monkeypatch.setattr("api.server.make_server", pytest.fail)  # and not: serve for ever
    with pytest.raises(SettingsError) as refusal:
        serve(ApiSettings(port=0))
    assert str(refusal.value).startswith("GREENROOM_JWT_SECRET: ")
    assert weak not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_random_secret_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets as generators make them are taken, in hexadecimal and in base64."""
    monkeypatch.setenv("GREENROOM_JWT_ISSUER", "https://id.example")
    monkeypatch.setenv("GREENROOM_JWT_AUDIENCE", "greenroom")
    for _ in range(200):
        for secret in (secrets.token_hex(32), base64.b64encode(secrets.token_bytes(32)).decode()):
            monkeypatch.setenv("GREENROOM_JWT_SECRET", secret)
            assert load(JwtSettings).accepts_tokens


@pytest.mark.parametrize("key", ["short", "x" * 31])
def test_a_short_admin_key_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first admin key has at least 32 characters."""
    monkeypatch.setenv("GREENROOM_ADMIN_KEY", key)
    with pytest.raises(SettingsError, match=r"^GREENROOM_ADMIN_KEY: needs at least 32 characters"):
        load(ApiSettings)
