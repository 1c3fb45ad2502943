"""Where the truth is kept: the settings of the database."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_POSTGRESQL = ("postgresql+psycopg://", "postgresql://", "postgres://")


def environment_names() -> list[str]:
    """List the names of the environment's variables."""
    return list(os.environ)


class DatabaseSettings(BaseSettings):
    """The database and how it is reached."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var"), description="Folder of the embedded database; made when missing.")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://…` or `sqlite:///…`; unset: SQLite in the data directory."
    )
    sqlite_full_sync: bool = Field(default=False, description="Sync every commit of SQLite to the disk, at about half the speed.")
    database_pool: int = Field(16, ge=1, le=200, description="Connections to PostgreSQL that one process may open.")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith((*_POSTGRESQL, "sqlite:///")):
            message = "needs to start with postgresql:// or sqlite:///"
            raise ValueError(message)
        return value

    @property
    def url(self) -> str:
        """The database's URL with the driver that is used for it."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'greenroom.db'}"
        url = self.database_url.get_secret_value()
        for scheme in _POSTGRESQL:
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url
