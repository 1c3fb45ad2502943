"""The environment's names: which ones exist, near misses that are refused, and settings read with one-line messages."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

PREFIX = "GREENROOM_"
_FOR_TESTS = "GREENROOM_TEST_"
_NEAR = 2

# Every name there is, so that a worker does not wonder about the API's; a test holds this equal to the settings' fields.
NAMES = frozenset(
    PREFIX + name
    for name in [
        "ACTORS",
        "ADMIN_KEY",
        "ALLOWED_HOSTS",
        "CLAIM_AHEAD",
        "CLAIM_AHEAD_SECONDS",
        "UNKNOWN_TYPE_SECONDS",
        "BACKOFF_SECONDS",
        "BROKER_URL",
        "DATABASE_POOL",
        "DATABASE_URL",
        "DATA_DIR",
        "HEARTBEAT_SECONDS",
        "HOST",
        "JWT_ALGORITHM",
        "JWT_AUDIENCE",
        "JWT_ISSUER",
        "JWT_LEEWAY_SECONDS",
        "JWT_PUBLIC_KEY",
        "JWT_SECRET",
        "KEY",
        "LEASE_SECONDS",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MAX_ATTEMPTS",
        "PORT",
        "RESEND_SECONDS",
        "REQUEST_SECONDS",
        "SESSION_HOURS",
        "SHUTDOWN_SECONDS",
        "SQLITE_FULL_SYNC",
        "SWEEP_SECONDS",
        "API_THREADS",
        "TIME_LIMIT_SECONDS",
        "TYPE_CONCURRENCY",
        "UPLOAD_BYTES",
        "UPKEEP_SECONDS",
        "URL",
        "WORKER_PROCESSES",
        "WORKER_THREADS",
        "ARCHIVE_HOURS",
        "RETENTION_HOURS",
        "LLM_API_KEY",
        "LLM_MODEL",
        "LLM_URL",
        "SCAN_ALLOW",
        "SCAN_BYTES",
        "SCAN_NETWORKS",
        "SCAN_PULLS",
        "GITHUB_TOKEN",
        "GITHUB_URL",
        "WEBHOOK_ALLOW",
        "WEBHOOK_BACKOFF_SECONDS",
        "WEBHOOK_TIME_LIMIT_SECONDS",
    ]
)

Settings = TypeVar("Settings", bound=BaseSettings)


class SettingsError(Exception):
    """A setting cannot be used; the message is one line that names it and never shows its value."""


def check_names(names: Iterable[str]) -> list[str]:
    """Look for mistyped names of settings; every composition root calls this with the environment's names.

    :returns: for each unknown name a sentence to warn with.
    :raises SettingsError: a name is within two edits of a known one.
    """
    unknown = sorted(name for name in names if name.startswith(PREFIX) and not name.startswith(_FOR_TESTS))
    warnings = []
    for name in unknown:
        if name in NAMES:
            continue
        distance, nearest = min((_edits(name, known), known) for known in NAMES)
        if distance <= _NEAR:
            raise SettingsError(f"{name} is not a setting. Did you mean {nearest}?")
        warnings.append(f"{name} is not a setting of this version; it is ignored.")
    return warnings


def load(settings: type[Settings]) -> Settings:
    """Read a settings class from the environment.

    :raises SettingsError: a value cannot be used.
    """
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        raise SettingsError("; ".join(_lines(error, prefix))) from None  # the original shows values, secrets too


def _lines(error: ValidationError, prefix: str) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
        name = (prefix + str(problem["loc"][0])).upper() if problem["loc"] else ""
        yield f"{name}: {message}" if name else message


def _edits(one: str, other: str) -> int:
    """Count the insertions, deletions, replacements and swaps of neighbours between two words."""
    if abs(len(one) - len(other)) > _NEAR:
        return _NEAR + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, theirs in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (mine != theirs))
            if i > 1 and j > 1 and mine == other[j - 2] and one[i - 2] == theirs:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]
