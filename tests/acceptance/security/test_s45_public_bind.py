"""S45: an API that others can reach has a key that somebody chose."""

import pytest

from api.settings import ApiSettings
from persistence.environment import SettingsError, load

KEY = "an-operators-own-choice-of-a-key-0001"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "jobs.example", "127.0.0.1.example", ""])  # noqa: S104
def test_a_public_bind_needs_a_key(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """On any address but loopback the start is refused without GREENROOM_ADMIN_KEY, and goes on with it."""
    monkeypatch.setenv("GREENROOM_HOST", host)
    if host:
        with pytest.raises(SettingsError, match="GREENROOM_ADMIN_KEY"):
            load(ApiSettings)
    monkeypatch.setenv("GREENROOM_ADMIN_KEY", KEY)
    assert load(ApiSettings).host == (host or "127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """On this machine alone it starts as it is; that is also the default."""
    monkeypatch.setenv("GREENROOM_HOST", host)
    assert load(ApiSettings).is_loopback
    monkeypatch.delenv("GREENROOM_HOST")
    assert load(ApiSettings).is_loopback
