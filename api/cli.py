"""The command line: what an operator does on the machine, and what a client does over HTTP.

Exit codes: 0 done, 1 a failed job or a refused request, 2 wrong usage. Whatever a command needs is imported when it
runs, so that `greenroom --help` answers at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

import rich_click as click

from api import printing
from api.client_commands import COMMANDS

if TYPE_CHECKING:
    from persistence.database import Database

REFUSED = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="greenroom")
def main() -> None:
    """Greenroom: write a function, get an HTTP job API."""


for command in COMMANDS:
    main.add_command(command)


@main.command()
def up() -> None:
    """Start the API and the workers, and watch them; Ctrl-C stops all in good order."""
    from api import startup, supervisor
    from persistence.environment import SettingsError

    try:
        startup.up()
    except (SettingsError, supervisor.CannotStartError) as error:
        refuse(str(error))


@main.command()
@click.option("--app-role", metavar="NAME", help="Also give this PostgreSQL role what the API and workers need.")
def migrate(app_role: str | None) -> None:
    """Bring the database's tables up to date."""
    from persistence.migrate import migrate as migrate_database
    from persistence.roles import grant

    with _database(is_migrated=False) as database:
        migrate_database(database.url)
        if app_role is not None:
            grant(database.url, app_role)
    click.echo("The database is up to date.")


@main.command()
def verify() -> None:
    """Check the invariants A1 to A6 on the live database, as fsck checks a disk."""
    from persistence.verify import verify as violations_of

    with _database() as database, database.read() as session:
        violations = violations_of(session)
    for violation in violations:
        click.echo(str(violation))
    if violations:
        refuse(f"{len(violations)} violations found")
    click.echo("A1 to A6 hold.")


@main.group()
def keys() -> None:
    """Make API keys without an admin key, on the machine itself."""


@keys.command()
@click.option("--user", required=True, help="Whose key; the user is made when new.")
@click.option("--tenant", required=True, help="The user's tenant; made when new.")
@click.option("--tier", required=True, help="The user's tier, as in free, pro or enterprise.")
@click.option("--scope", type=click.Choice(["user", "admin"]), default="user", help="What it may do.")
@click.option("--expires-at", metavar="TIME", help="When it expires, as in 2031-01-31T12:00:00Z.")
def create(user: str, tenant: str, tier: str, scope: str, expires_at: str | None) -> None:
    """Make a key and print it; nobody can read it again."""
    from persistence import keys as api_keys
    from persistence import users

    moment = None if expires_at is None else _moment(expires_at)
    with _database() as database, database.write() as session:
        row, _ = users.put(session, name=user, tenant=tenant, tier=tier)
        _, key = api_keys.create(session, user_id=row.id, scope=scope, expires_at=moment)
    click.echo(key)


def refuse(message: str) -> NoReturn:
    """End with one line on standard error and the exit code of what was refused."""
    printing.error(message)
    sys.exit(REFUSED)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("needs a time as in 2031-01-31T12:00:00Z", param_hint="--expires-at") from None
    if moment.tzinfo is None:
        raise click.BadParameter("needs a time zone, as the Z in 2031-01-31T12:00:00Z", param_hint="--expires-at")
    return moment


@contextmanager
def _database(*, is_migrated: bool = True) -> Iterator["Database"]:
    """Open the database that the settings name; its errors become one line.

    :param is_migrated: whether it has to be up to date already.
    """
    from persistence.database import Database, is_repeatable, reason_of
    from persistence.environment import SettingsError, load
    from persistence.errors import GreenroomError
    from persistence.migrate import is_current
    from persistence.settings import DatabaseSettings

    try:
        database = Database.checked(load(DatabaseSettings))
        if is_migrated and not is_current(database.url):
            refuse("the database is not up to date: run `greenroom migrate` first")
        try:
            yield database
        finally:
            database.close()
    except (SettingsError, GreenroomError) as error:
        refuse(str(error))
    except Exception as error:
        # The edge of the process: a database that is away or not migrated is told in a line, all else is a bug.
        if not is_repeatable(error):
            raise
        refuse(f"the database does not answer as it should: {reason_of(error)}")
