"""Settings: what cannot be used is said in one line, and what is mistyped is not passed over."""

import pytest
from pydantic_settings import BaseSettings

from actors.settings import ActorSettings, ChatSettings, GitHubSettings, ScanSettings
from api.settings import ApiSettings, JwtSettings, SupervisorSettings
from middleware.settings import LogSettings, WebhookSettings, WorkerSettings
from persistence.environment import NAMES, PREFIX, SettingsError, check_names, load
from persistence.settings import DatabaseSettings

CLASSES: tuple[type[BaseSettings], ...] = (
    DatabaseSettings, WorkerSettings, LogSettings, WebhookSettings, ActorSettings, ChatSettings, ScanSettings, GitHubSettings,
    ApiSettings, JwtSettings, SupervisorSettings,
)  # fmt: skip
# The client reads these on the command line.
ELSEWHERE = {"URL", "KEY"}


def test_every_name_is_known_everywhere() -> None:
    """The list of names is exactly what the settings have, so that no process wonders about another one's."""
    fields = {str(settings.model_config["env_prefix"]) + name.upper() for settings in CLASSES for name in settings.model_fields}
    assert fields | {PREFIX + name for name in ELSEWHERE} == NAMES


def test_every_setting_says_what_it_is() -> None:
    """Each setting has a description, from which the reference is made."""
    missing = [name for settings in CLASSES for name, field in settings.model_fields.items() if not field.description]
    assert missing == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("GREENROOM_PROT", "GREENROOM_PORT"),
        ("GREENROOM_DATABSE_URL", "GREENROOM_DATABASE_URL"),
        ("GREENROOM_ADMINKEY", "GREENROOM_ADMIN_KEY"),
        ("GREENROOM_LEASE_SECOND", "GREENROOM_LEASE_SECONDS"),
        ("GREENROOM_JWT_ISUER", "GREENROOM_JWT_ISSUER"),
        ("GREENROOM_HOSTS", "GREENROOM_HOST"),
    ],
)
def test_a_near_miss_is_refused_with_the_name_that_was_meant(typed: str, meant: str) -> None:
    """A name within two edits of a setting ends the start and names it."""
    with pytest.raises(SettingsError, match=rf"^{typed} is not a setting. Did you mean {meant}\?$"):
        check_names(["PATH", typed])


def test_other_names_are_only_warned_about() -> None:
    """What resembles nothing is a sentence for the log; known names, tests' own and everybody else's are none."""
    names = ["HOME", "GREENROOM_PORT", "GREENROOM_TEST_DATABASE_URL", "GREENROOM_COLOUR_OF_THE_WALL"]
    warnings = check_names(names)
    assert len(warnings) == 1
    assert "GREENROOM_COLOUR_OF_THE_WALL" in warnings[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GREENROOM_PORT", "eighty", "GREENROOM_PORT: "),
        ("GREENROOM_PORT", "70000", "GREENROOM_PORT: should be less than or equal to 65535"),
        ("GREENROOM_UPLOAD_BYTES", "0", "GREENROOM_UPLOAD_BYTES: "),
        ("GREENROOM_ADMIN_KEY", "kept-secret", "GREENROOM_ADMIN_KEY: needs at least 32 characters"),
        ("GREENROOM_ADMIN_KEY", "kept secret " * 4, "GREENROOM_ADMIN_KEY: may hold only"),
    ],
)
def test_a_bad_value_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """The message begins with the setting's name, says what is wanted and does not repeat what may be secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        load(ApiSettings)
    assert str(refusal.value).startswith(said)
    assert "\n" not in str(refusal.value)
    assert "kept" not in str(refusal.value)


def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing, as compose files do, is as good as unset."""
    for name in ("GREENROOM_PORT", "GREENROOM_ADMIN_KEY", "GREENROOM_JWT_SECRET"):
        monkeypatch.setenv(name, "")
    assert load(ApiSettings) == ApiSettings(port=8000)
    assert not load(JwtSettings).accepts_tokens


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SECRET": "q7Xv2mLr9TzK4wNc8HbY1sDf6GjP3aQe"}, "GREENROOM_JWT_ISSUER and GREENROOM_JWT_AUDIENCE are needed"),
        ({"ISSUER": "https://id.example"}, "GREENROOM_JWT_SECRET or GREENROOM_JWT_PUBLIC_KEY is missing"),
        ({"PUBLIC_KEY": "/nowhere/at/all.pem"}, "GREENROOM_JWT_PUBLIC_KEY: is neither PEM text nor a file"),
        (
            {"SECRET": "q7Xv2mLr9TzK4wNc8HbY1sDf6GjP3aQe", "ALGORITHM": "RS256", "ISSUER": "i", "AUDIENCE": "a"},
            "GREENROOM_JWT_ALGORITHM RS256 does not go with the key",
        ),
        (
            {"SECRET": "q7Xv2mLr9TzK4wNc8HbY1sDf6GjP3aQe", "ALGORITHM": "HS512", "ISSUER": "i", "AUDIENCE": "a"},
            "GREENROOM_JWT_SECRET is shorter than the hash of HS512",
        ),
    ],
)
def test_settings_for_tokens_come_whole(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str) -> None:
    """Half of what is needed to check tokens is refused with what is missing."""
    for name, value in given.items():
        monkeypatch.setenv(f"GREENROOM_JWT_{name}", value)
    with pytest.raises(SettingsError) as refusal:
        load(JwtSettings)
    assert str(refusal.value).startswith(said)
