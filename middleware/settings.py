"""How attempts are made: leases, retries, limits of time and number."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def sane_waits(waits: tuple[float, ...]) -> tuple[float, ...]:
    """Give back waits that a retry can have.

    :raises ValueError: there is none, or one of them is negative or longer than 30 days.
    """
    if not waits or any(not 0 <= wait <= 30 * 86_400 for wait in waits):
        message = "needs one or more numbers of seconds, none below 0 or above 30 days"
        raise ValueError(message)
    return waits


class WorkerSettings(BaseSettings):
    """What a worker process goes by."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore")

    lease_seconds: Seconds = Field(15.0, description="A worker that is silent for this long is dead.")
    heartbeat_seconds: Seconds = Field(5.0, description="Time between two beats of a worker.")
    sweep_seconds: Seconds = Field(2.0, description="Time between two sweeps.")
    resend_seconds: Seconds = Field(60.0, description="A message that is not claimed for this long is sent again.")
    unknown_type_seconds: Seconds = Field(60.0, description="A job whose type no live worker has known for this long fails.")
    max_attempts: int = Field(4, ge=1, le=100, description="Attempts a job has, unless its type or its caller says otherwise.")
    backoff_seconds: Annotated[tuple[float, ...], NoDecode] = Field(
        (1.0, 5.0, 30.0), description="Comma-separated waits before the retries; the last one repeats."
    )
    time_limit_seconds: Seconds = Field(10.0, description="Time an attempt has, unless its type says otherwise.")
    shutdown_seconds: Seconds = Field(30.0, description="Time that work in flight has to finish at a shutdown.")
    claim_ahead: int = Field(
        128,
        ge=0,
        le=4096,
        description="Most jobs of short types that a process claims before a thread is free.",
    )
    claim_ahead_seconds: Seconds = Field(0.1, description="Most work, in seconds a thread, that is claimed ahead.")
    type_concurrency: Annotated[dict[str, int], NoDecode] = Field(
        {"documents.*": 3},
        description="Comma-separated `pattern=most`: attempts that types of this pattern may have at a time, everywhere.",
    )
    upkeep_seconds: Seconds = Field(30.0, description="Time between two rounds of archiving and deleting.")
    archive_hours: float = Field(
        24.0,
        gt=0,
        description="Finished jobs are archived after this long: counts of the queue pass them by, all else shows them.",
    )
    retention_hours: float = Field(720.0, gt=0, description="Finished jobs are deleted after this long.")

    @field_validator("backoff_seconds", mode="before")
    @classmethod
    def _split_waits(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("backoff_seconds")
    @classmethod
    def _sane_waits(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return sane_waits(value)

    @field_validator("type_concurrency", mode="before")
    @classmethod
    def _split_limits(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        limits: dict[str, int] = {}
        for part in filter(None, (word.strip() for word in value.split(","))):
            pattern, separator, most = part.partition("=")
            if not separator or not most.strip().isdigit() or int(most) < 1:
                message = f"needs pattern=number with a number of at least 1, not {part!r}"
                raise ValueError(message)
            limits[pattern.strip()] = int(most)
        return limits

    @field_validator("heartbeat_seconds")
    @classmethod
    def _beats_within_lease(cls, value: float, info: object) -> float:
        lease = getattr(info, "data", {}).get("lease_seconds")
        if lease is not None and value * 2 > lease:
            message = f"needs to be at most half of GREENROOM_LEASE_SECONDS ({lease:g})"
            raise ValueError(message)
        return value


class WebhookSettings(BaseSettings):
    """Where webhooks may go, and how they are tried again."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_WEBHOOK_", frozen=True, extra="ignore", env_ignore_empty=True)

    allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Comma-separated networks (CIDR) to which webhooks may go by http, on any port, private ones among them."
    )
    backoff_seconds: Annotated[tuple[float, ...], NoDecode] = Field(
        (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 28800.0),
        description="Comma-separated waits before a webhook is tried again; after the last one it has failed.",
    )
    time_limit_seconds: float = Field(10.0, gt=0, le=60, description="Time a webhook's receiver has to answer.")

    @field_validator("allow", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ipaddress.ip_network(word.strip()) for word in value.split(",") if word.strip())
        except ValueError as error:
            raise ValueError(str(error)) from None

    @field_validator("backoff_seconds", mode="before")
    @classmethod
    def _split_waits(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("backoff_seconds")
    @classmethod
    def _sane_waits(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return sane_waits(value)


class LogSettings(BaseSettings):
    """What is logged, and how."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore", env_ignore_empty=True)

    log_format: Literal["json", "console"] | None = Field(
        None, description="`json` or `console`; unset: JSON when standard error is not a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
