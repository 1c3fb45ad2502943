"""Migrations: brings a database's tables up to date, once, however many processes start at the same time.

`python -m persistence.migrate "what changes"` writes the next migration from what the tables say now (needs the
development environment). Read it before you keep it: Alembic sees neither CHECKs nor the conditions of partial
indexes; the comparison in tests/integration/persistence/test_migrations.py does.
"""

import fcntl
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from persistence import restored
from persistence.database import Database, is_repeatable, reason_of
from persistence.errors import DatabaseUnavailableError, GreenroomError
from persistence.settings import DatabaseSettings

FOLDER = Path(__file__).parent / "migrations"

# The number of the advisory lock behind which processes that migrate stand in line.
_GATE = 0x67726E30
_LOCK_TIMEOUT_SECONDS = 30


class MigrationRefusedError(GreenroomError):
    """The database cannot be brought up to date."""

    code = "MIGRATION_REFUSED"


def migrate(url: str) -> None:
    """Bring the tables up to date; where they are nothing happens, and nothing is written.

    After a restore on another server the feed of events begins anew.

    A SQLite file that holds tables already is copied first, to `greenroom.db.before-0002` beside it.

    :param url: SQLAlchemy's URL of the database.
    :raises DatabaseUnavailableError: the database cannot be reached.
    :raises MigrationRefusedError: a newer Greenroom wrote it, the role may not change tables, or a migration failed.
    """
    if is_current(url):
        return
    database = _opened(url)
    try:
        with _gate(database), database.engine.connect() as connection:
            _prepare(connection)
            present = _version(connection)
            _refuse_unknown(present)
            if present == head() and not restored.is_foreign(connection):
                return
            if database.is_sqlite and present is not None:
                _copy(_file(url), head())
            _upgrade(connection)
            if restored.is_foreign(connection):
                restored.begin_anew(connection)
            connection.commit()
    except DBAPIError as error:
        raise _explained(error) from error
    finally:
        database.close()


def is_current(url: str) -> bool:
    """Tell whether the tables are those that this version of Greenroom works with, and the places in them this server's.

    :param url: SQLAlchemy's URL of the database.
    :raises DatabaseUnavailableError: the database cannot be reached.
    """
    if url.startswith("sqlite") and not _file(url).exists():
        return False
    database = _opened(url)
    try:
        with database.engine.connect().execution_options(greenroom_write=False) as connection:
            return _version(connection) == head() and not restored.is_foreign(connection)
    except DBAPIError as error:
        raise _explained(error) from error
    finally:
        database.close()


def is_empty(database: Database) -> bool:
    """Tell whether no migration has ever made tables in a database."""
    with database.engine.connect() as connection:
        return _version(connection.execution_options(greenroom_write=False)) is None


def head() -> str:
    """Name the newest migration: the number that its file begins with."""
    return max(_numbers())


def _numbers() -> set[str]:
    return {path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py")}


def _opened(url: str) -> Database:
    # Only the URL matters here; the settings are the defaults, whatever the environment says.
    return Database(DatabaseSettings.model_construct(), url=url)


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def _gate(database: Database) -> Iterator[None]:
    """Let one process at a time through; on PostgreSQL the lock is the transaction's own, taken in `_prepare`."""
    if not database.is_sqlite:
        yield
        return
    file = _file(database.url)
    with file.with_name(f"{file.name}.migrating").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # Alembic's way to change a table is to copy and drop it. The drop would take the children along, and the new
        # table could not get its name while another one's trigger speaks of the old one. The pragmas do nothing inside a
        # transaction, so they go past SQLAlchemy, which would begin one.
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("PRAGMA legacy_alter_table = ON")
        return
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_GATE})"))
    # From here on it waits for tables, behind which all others would wait in turn.
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_SECONDS}s'"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _version(connection: Connection) -> str | None:
    """Read which migration the tables are at; `None` is a database without tables."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_unknown(present: str | None) -> None:
    if present is not None and present not in _numbers():
        message = f"the database is at migration {present}, which this Greenroom does not know: use a newer one"
        raise MigrationRefusedError(message)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise MigrationRefusedError(str(error)) from error
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).all()
        if broken:
            message = f"the migration would leave {len(broken)} rows without their parent, the first in {broken[0][0]}"
            raise MigrationRefusedError(message)


def _copy(file: Path, number: str) -> None:
    """Copy the database through SQLite itself, so that what stands in the write-ahead log comes along."""
    target = file.with_name(f"{file.name}.before-{number}")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _explained(error: DBAPIError) -> GreenroomError:
    cause = error.orig
    if is_repeatable(error) and getattr(cause, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
        return DatabaseUnavailableError(f"the database cannot be reached: {reason_of(error)}")
    if getattr(cause, "sqlstate", None) == "42501":  # insufficient_privilege
        return MigrationRefusedError(
            "the database is not up to date, and this role may not change it: run `greenroom migrate` as its owner"
        )
    return MigrationRefusedError(f"the migration failed: {reason_of(error)}")


def write_next(message: str) -> Path:
    """Write the next migration: what leads from the tables of all migrations before it to those of the models.

    :param message: what changes, in a few words; becomes the file's name.
    :returns: the file.
    """
    from alembic import command
    from alembic.config import Config

    number = f"{max((int(number) for number in _numbers()), default=0) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/greenroom.db"
        if _numbers():
            migrate(url)
        database = _opened(url)
        try:
            with database.engine.connect() as connection:
                config = Config(attributes={"connection": connection, "changes_tables": bool(_numbers())})
                config.set_main_option("script_location", str(FOLDER))
                config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
                config.set_section_option("post_write_hooks", "hooks", "lint, format")
                for hook, verb in (("lint", "check --fix-only --quiet"), ("format", "format --quiet")):
                    config.set_section_option("post_write_hooks", f"{hook}.type", "exec")
                    config.set_section_option("post_write_hooks", f"{hook}.executable", "ruff")
                    config.set_section_option("post_write_hooks", f"{hook}.options", f"{verb} REVISION_SCRIPT_FILENAME")
                command.revision(config, message, autogenerate=True, rev_id=number)
        finally:
            database.close()
    return next((FOLDER / "versions").glob(f"{number}_*.py"))


if __name__ == "__main__":
    sys.stdout.write(f"{write_next(' '.join(sys.argv[1:]))}\n")
