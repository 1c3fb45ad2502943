"""Where messages go and which job types exist beyond the ones that come along."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


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
