"""Where the truth is kept: the settings of the database."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_POSTGRESQL = ("postgresql+psycopg://", "postgresql://", "postgres://")
_UNREADABLE = "cannot be read; it needs to be postgresql://user:password@host:port/name, with %40 for an @ in a password"


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
        if value is None:
            return None
        url = value.get_secret_value()
        if not url.startswith((*_POSTGRESQL, "sqlite:///")):
            raise ValueError("needs to start with postgresql:// or sqlite:///")
        try:
            make_url(url)
        except (ArgumentError, ValueError):
            raise ValueError(_UNREADABLE) from None
        if url.startswith(_POSTGRESQL) and url.count("@") > 1:
            # The first one ends the password, and what is left of it would be taken, and shown, for a host.
            raise ValueError(_UNREADABLE)
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

    @property
    def place(self) -> str:
        """Where the database is, for people to read."""
        url = make_url(self.url)
        return str(url.database) if url.drivername == "sqlite" else f"{url.database} on {url.host} (PostgreSQL)"

    @property
    def decided_by(self) -> str:
        """The name of the setting that says where the database is."""
        return "GREENROOM_DATA_DIR" if self.database_url is None else "GREENROOM_DATABASE_URL"
