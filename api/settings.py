"""The API's settings: where it listens, whom it lets in and how large a request may be."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SHORTEST_SECRET = 32
_FEWEST_CHARACTERS = 8
# Words of other people's examples: a secret made of nothing else is everybody's.
_WELL_KNOWN = re.compile(
    r"change|me|secret|pass|word|default|example|your|insecure|256|bit|jwt|key|admin|test|super|my|this|is|a|the"
)

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]


def _long_enough(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < _SHORTEST_SECRET:
        raise ValueError(f"needs at least {_SHORTEST_SECRET} characters: make one with `openssl rand -hex 32`")
    return secret


def _hard_to_guess(secret: SecretStr) -> SecretStr:
    text = _long_enough(secret).get_secret_value()
    repeats = text in (text + text)[1:-1]
    left = _WELL_KNOWN.sub("", text.lower())
    if repeats or len(set(left)) < _FEWEST_CHARACTERS:
        raise ValueError("is too easy to guess: make one with `openssl rand -hex 32`")
    return secret


class ApiSettings(BaseSettings):
    """The address, the first admin key and the limits of the API."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on; another one than loopback needs an admin key.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated host names under which the API is reached, beside loopback and its own address.",
    )
    admin_key: SecretStr | None = Field(None, description="The first admin key, 32 characters or more, in any form.")
    upload_bytes: int = Field(50 * 1024 * 1024, ge=1, description="The largest file that may be uploaded.")
    request_seconds: float = Field(
        20, gt=0, le=30, description="A request's headers, and its body at 16 KiB a second, must arrive within this."
    )
    session_hours: float = Field(12, gt=0, le=720, description="How long a browser stays signed in on the pages.")
    api_threads: int = Field(16, ge=1, le=200, description="Requests that one API process works on at the same time.")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip().lower() for name in value.split(",") if name.strip())
        return value

    @field_validator("admin_key")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = _long_enough(value).get_secret_value()
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError("may hold only printable ASCII characters and no spaces, for it travels in a header")
        return value

    @model_validator(mode="after")
    def _public_needs_key(self) -> Self:
        if not self.is_loopback and self.admin_key is None:
            raise ValueError(f"GREENROOM_HOST is {self.host}, which others can reach: set GREENROOM_ADMIN_KEY first")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class JwtSettings(BaseSettings):
    """How tokens of an identity provider are checked; without a secret or a public key none is accepted."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_JWT_", frozen=True, extra="ignore", env_ignore_empty=True)

    secret: SecretStr | None = Field(None, description="The shared secret, for HS256, HS384 and HS512.")
    public_key: str | None = Field(None, description="The public key as PEM text, or the path of a file with it.")
    algorithm: Algorithm | None = Field(None, description="The one accepted algorithm; HS256 or RS256 when unset.")
    issuer: str | None = Field(None, description="What `iss` must be; needed when tokens are accepted.")
    audience: str | None = Field(None, description="What `aud` must be or contain; needed when tokens are accepted.")
    leeway_seconds: int = Field(30, ge=0, le=60, description="How far clocks may be apart.")

    @field_validator("secret")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else _hard_to_guess(value)

    @field_validator("public_key")
    @classmethod
    def _read(cls, value: str | None) -> str | None:
        if value is None or value.lstrip().startswith("-----BEGIN"):
            return value
        try:
            return Path(value).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError("is neither PEM text nor a file that can be read") from error

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.secret is not None and self.public_key is not None:
            raise ValueError("GREENROOM_JWT_SECRET and GREENROOM_JWT_PUBLIC_KEY exclude each other")
        if not self.accepts_tokens:
            if self.issuer or self.audience or self.algorithm:
                raise ValueError("GREENROOM_JWT_SECRET or GREENROOM_JWT_PUBLIC_KEY is missing")
            return self
        if not (self.issuer and self.audience):
            raise ValueError("GREENROOM_JWT_ISSUER and GREENROOM_JWT_AUDIENCE are needed to accept tokens")
        if self.chosen_algorithm.startswith("HS") != (self.secret is not None):
            raise ValueError(f"GREENROOM_JWT_ALGORITHM {self.algorithm} does not go with the key that is set")
        if self.secret is not None and len(self.secret.get_secret_value()) * 8 < int(self.chosen_algorithm[2:]):
            raise ValueError(f"GREENROOM_JWT_SECRET is shorter than the hash of {self.chosen_algorithm}")
        return self

    @property
    def accepts_tokens(self) -> bool:
        """Whether there is a key to check tokens with."""
        return self.secret is not None or self.public_key is not None

    @property
    def chosen_algorithm(self) -> str:
        """The one algorithm that a token may be signed with."""
        return self.algorithm or ("HS256" if self.secret is not None else "RS256")

    @property
    def key(self) -> str:
        """The secret or the public key."""
        return self.secret.get_secret_value() if self.secret is not None else self.public_key or ""


class SupervisorSettings(BaseSettings):
    """What `greenroom up` starts beside the API."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore", env_ignore_empty=True)

    worker_processes: int = Field(2, ge=0, le=64, description="Worker processes that `greenroom up` starts.")
    worker_threads: int = Field(8, ge=1, le=256, description="Threads of each of them: attempts at the same time.")
    shutdown_seconds: float = Field(30, ge=0, description="How long work under way may take at shutdown.")


class ClientSettings(BaseSettings):
    """Whom the client commands of the command line speak to."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore", env_ignore_empty=True)

    url: str = Field("http://127.0.0.1:8000", description="Where Greenroom's API is reached.")
    key: SecretStr | None = Field(None, description="The API key that the command line uses.")
