"""Where messages go, which job types exist beyond the ones that come along, and which models they may ask."""

from typing import Annotated
from urllib.parse import urlsplit

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
        if value is not None and not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
            raise ValueError("may hold only printable ASCII characters")
        return value
