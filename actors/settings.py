"""Where messages go, which job types exist beyond the ones that come along, and which models they may ask."""

import ipaddress
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# What a command needs to find its way; everything else of a worker's environment may be a secret.
_PLAIN = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "VIRTUAL_ENV")


class ActorSettings(BaseSettings):
    """The broker and the modules of job types."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore")

    broker_url: SecretStr | None = Field(
        None,
        description="`amqp://…` (several hosts with commas), `redis://…`, `stub://` or `module:factory`; unset: the SQL broker "
        "in the database itself.",
    )
    actors: Annotated[tuple[str, ...], NoDecode] = Field((), description="Comma-separated modules with further job types.")

    @field_validator("actors", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(filter(None, (word.strip() for word in value.split(","))))


class ChatSettings(BaseSettings):
    """The endpoint of language models."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore", env_ignore_empty=True)

    llm_url: str | None = Field(
        None,
        description="An OpenAI-compatible endpoint up to its version, such as `http://127.0.0.1:11434/v1`; the workers send "
        "`POST` to `/chat/completions` behind it. Unset: nothing asks a model.",
    )
    llm_api_key: SecretStr | None = Field(None, description="Sent to that endpoint as a bearer token; unset: none is sent.")
    llm_model: str | None = Field(None, description="The model that is asked where a job names none.")

    @field_validator("llm_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("needs to be an address such as http://127.0.0.1:11434/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("may not hold a name or a password; GREENROOM_LLM_API_KEY is for the key")
        return value.rstrip("/").removesuffix("/chat/completions")

    @field_validator("llm_api_key")
    @classmethod
    def _is_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return _header_of(value)


class ScanSettings(BaseSettings):
    """Which git repositories may be scanned, and how much of them."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_SCAN_", frozen=True, extra="ignore", env_ignore_empty=True)

    allow: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Comma-separated local folders whose git repositories may be scanned, the folders themselves among them."
    )
    networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="Comma-separated networks (CIDR) whose git servers may be scanned by http, git and on any port, "
        "private ones among them; others only by https on port 443.",
    )
    pulls: int = Field(2_000, ge=1, le=20_000, description="A scan reads so many pull requests, the latest ones.")
    bytes: int = Field(2 * 1024**3, ge=1024**2, description="Disk space that the copy of a scanned repository may take.")

    @field_validator("allow", mode="before")
    @classmethod
    def _folders(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("allow")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in value:
            if not folder.is_absolute():
                raise ValueError(f"{folder} needs to be an absolute path")
        return value

    @field_validator("networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ipaddress.ip_network(word.strip()) for word in value.split(",") if word.strip())
        except ValueError as error:
            raise ValueError(str(error)) from None


class GitHubSettings(BaseSettings):
    """Where repositories are that are tracked without a URL."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_GITHUB_", frozen=True, extra="ignore", env_ignore_empty=True)

    url: str = Field(
        "https://api.github.com",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        description="REST endpoint of the GitHub-compatible host whose repositories are tracked without a `url`.",
    )
    token: SecretStr | None = Field(None, description="Token for that endpoint; it reads pull requests for all users.")

    @field_validator("token")
    @classmethod
    def _is_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return _header_of(value)


def _header_of(secret: SecretStr | None) -> SecretStr | None:
    """Take a secret as a header can have it, without the line's end that files of secrets like to have."""
    if secret is None:
        return None
    text = secret.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("may hold only printable ASCII characters")
    return SecretStr(text) if text else None


def plain_environment() -> dict[str, str]:
    """Return those variables of the environment that every command may see."""
    return {name: os.environ[name] for name in _PLAIN if name in os.environ}
