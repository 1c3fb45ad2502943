"""The worker's settings: what comes from the environment, and what is refused."""

import pytest

from middleware.settings import WorkerSettings
from persistence.environment import SettingsError, load


def test_the_shipped_values() -> None:
    """What the contract says when nothing is set."""
    settings = WorkerSettings()
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.sweep_seconds) == (15, 5, 2)
    assert (settings.max_attempts, settings.backoff_seconds, settings.time_limit_seconds) == (4, (1, 5, 30), 10)
    assert (settings.shutdown_seconds, settings.resend_seconds) == (30, 60)
    assert settings.type_concurrency == {"documents.*": 3}


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits and limits as an operator writes them."""
    monkeypatch.setenv("GREENROOM_BACKOFF_SECONDS", "0.5,2, 60")
    monkeypatch.setenv("GREENROOM_TYPE_CONCURRENCY", "documents.*=2, stories.process = 1,")
    settings = load(WorkerSettings)
    assert settings.backoff_seconds == (0.5, 2, 60)
    assert settings.type_concurrency == {"documents.*": 2, "stories.process": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKOFF_SECONDS", ""),
        ("BACKOFF_SECONDS", "1,-5"),
        ("BACKOFF_SECONDS", "1,nan"),
        ("BACKOFF_SECONDS", "1,inf"),
        ("BACKOFF_SECONDS", "soon"),
        ("TYPE_CONCURRENCY", "documents.*"),
        ("TYPE_CONCURRENCY", "documents.*=0"),
        ("TYPE_CONCURRENCY", "documents.*=many"),
        ("HEARTBEAT_SECONDS", "8"),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "nan"),
        ("MAX_ATTEMPTS", "0"),
        ("TIME_LIMIT_SECONDS", "-1"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """One line that names the setting."""
    monkeypatch.setenv(f"GREENROOM_{name}", value)
    with pytest.raises(SettingsError, match=f"GREENROOM_{name}"):
        load(WorkerSettings)
