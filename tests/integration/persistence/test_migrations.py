"""The migrations: what they make is what the models say, on both databases, whoever else migrates at the same time."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from persistence import migrate as migrations
from persistence.database import Database
from persistence.migrate import FOLDER, MigrationRefusedError, head, is_current, migrate
from persistence.migrations import beside
from persistence.models import METADATA, TABLES
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.users import SHIPPED_TIERS, Tier
from tests import factories
from tests.services import new_database

Rows: TypeAlias = set[tuple[Any, ...]]

# What only a migration makes, because the models have no words for it.
# SQLite writes a column that was added behind the one before it, on the same line.
ADDED = r", (?=[a-z_]+ [A-Z]+)"
PLAIN_XID = "0"
STAMPED_XID = "((pg_current_xact_id())::text)::bigint"


NEXT = f"""\"\"\"The next one.\"\"\"
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head()}"


def upgrade() -> None:
    {{}}
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database without any tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'greenroom.db'}"
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def open_database() -> Iterator[Callable[[str], Database]]:
    """Give a function that opens a database, closed after the test."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        opened.append(Database(DatabaseSettings(), url=url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the migrations into a folder of the test's own, and give the path of one more, still to be written."""
    folder = tmp_path / "migrations"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "FOLDER", folder)
    return folder / "versions" / "9999_next.py"


def test_migrated_is_created(empty_url: str, open_database: Callable[[str], Database], tmp_path: Path) -> None:
    """The migrations make the very tables of the models: columns, types, defaults, CHECKs, keys, indexes, conditions."""
    # given
    database = open_database(empty_url)
    METADATA.create_all(database.engine)
    describe = sqlite_schema if database.is_sqlite else postgres_schema
    with database.read() as session:
        created = describe(session)
    drop_everything(database)
    # when
    migrate(empty_url)
    # then
    with open_database(empty_url).read() as session:
        migrated = describe(session)
    assert {table for table, *_ in created} >= {table.__tablename__ for table in TABLES}
    expected = {tuple(STAMPED_XID if row[1:3] == ("column", "xid") and v == PLAIN_XID else v for v in row) for row in created}
    assert migrated == (created if database.is_sqlite else expected)


def test_empty_becomes_current(empty_url: str) -> None:
    """An empty database is not current, a migrated one is, and migrating it again changes nothing."""
    assert not is_current(empty_url)
    migrate(empty_url)
    assert is_current(empty_url)
    migrate(empty_url)
    assert is_current(empty_url)


def test_the_newest_number_is_alembics_head() -> None:
    """There is one line of migrations, and the number that decides whether a database is current is its end."""
    assert ScriptDirectory(str(FOLDER)).get_heads() == [head()]


def test_tiers_are_shipped(database_url: str, open_database: Callable[[str], Database]) -> None:
    """A migrated database has the tiers that Greenroom ships with, with the numbers that the code has."""
    with open_database(database_url).read() as session:
        shipped = {name: limits_of(session.get_one(Tier, name), limits) for name, limits in SHIPPED_TIERS.items()}
    assert shipped == SHIPPED_TIERS


def test_several_at_once(empty_url: str) -> None:
    """Processes that start at the same time all succeed, and one of them migrates."""
    # given
    command = [sys.executable, "-c", "import sys; from persistence.migrate import migrate; migrate(sys.argv[1])", empty_url]
    # when
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    # then
    assert ends == [("", 0)] * 3
    assert is_current(empty_url)


def test_rows_survive(
    database_url: str,
    open_database: Callable[[str], Database],
    next_migration: Path,
) -> None:
    """A migration that rebuilds a table keeps its rows and those that hang on them."""
    # given
    next_migration.write_text(
        NEXT.format("""with op.batch_alter_table("jobs", recreate="auto") as table:
        table.alter_column("queue", type_=sa.String(length=120))""")
    )
    with open_database(database_url).write() as session:
        job_id, child_id = factories.submit(session, factories.user(session), *factories.submissions(2))
        run(session, "INSERT INTO dependencies (job_id, parent_id) VALUES (:child, :parent)", child=child_id, parent=job_id)
    before = [count(open_database(database_url), table) for table in ("jobs", "transitions", "dependencies")]
    # when
    migrate(database_url)
    # then
    after = [count(open_database(database_url), table) for table in ("jobs", "transitions", "dependencies")]
    assert after == before == [2, 2, 1]


def test_the_file_is_copied_first(sqlite_database: str, open_database: Callable[[str], Database], next_migration: Path) -> None:
    """Before anything in a SQLite file is changed, there is a copy of it beside it, with all its rows."""
    with open_database(sqlite_database).write() as session:
        factories.user(session, "ann")
    next_migration.write_text(NEXT.format('op.execute("DELETE FROM users")'))
    migrate(sqlite_database)
    copy = sqlite_database + ".before-9999"
    with closing(sqlite3.connect(copy.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [("ann",)]
    assert count(open_database(sqlite_database), "users") == 0


def test_a_failed_migration_leaves_nothing(
    database_url: str, open_database: Callable[[str], Database], next_migration: Path
) -> None:
    """A migration that fails half way changes nothing and says so; the next start tries it again."""
    next_migration.write_text(NEXT.format('op.execute("CREATE TABLE half (n int)"); op.execute("SELECT nonsense")'))
    with pytest.raises(MigrationRefusedError, match="nonsense"):
        migrate(database_url)
    assert not is_current(database_url)
    with open_database(database_url).read() as session, pytest.raises(DBAPIError):
        run(session, "SELECT * FROM half")


def test_broken_foreign_keys_are_refused(
    sqlite_database: str, open_database: Callable[[str], Database], next_migration: Path
) -> None:
    """A migration that would leave rows without their parent is undone, though SQLite does not mind."""
    with open_database(sqlite_database).write() as session:
        factories.user(session, "ann")
    next_migration.write_text(NEXT.format('op.execute("DELETE FROM tenants")'))
    with pytest.raises(MigrationRefusedError, match="without their parent, the first in users"):
        migrate(sqlite_database)
    assert count(open_database(sqlite_database), "tenants") == 1


def test_a_newer_database_is_left_alone(database_url: str, open_database: Callable[[str], Database]) -> None:
    """A database that a newer Greenroom has migrated is refused with a clear word."""
    with open_database(database_url).write() as session:
        run(session, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationRefusedError, match="9999"):
        migrate(database_url)


def test_statements_are_paragraphs() -> None:
    """The SQL beside a migration is split at empty lines, so that the bodies of functions stay whole."""
    script = "-- why\nSELECT 1;\n\n-- only words\n\nBEGIN\n    SELECT 2;\nEND;\n"
    assert beside.statements(script) == ["SELECT 1;", "BEGIN\n    SELECT 2;\nEND;"]


@pytest.mark.postgresql
def test_moment_after_costs_nothing(postgres_database: str, open_database: Callable[[str], Database]) -> None:
    """PostgreSQL's planner writes `moment_after` into the statement, where the zone of the session does not matter."""
    with open_database(postgres_database).read() as session:
        run(session, "SET timezone = 'Europe/Berlin'")
        plan = [line for (line,) in run(session, "EXPLAIN VERBOSE SELECT moment_after(at, 1.5) FROM transitions")]
        later = run(session, "SELECT moment_after('2026-10-25 00:30+00', 86400.25)").scalar_one()
    assert not any("moment_after" in line for line in plan)
    assert later.timestamp() == pytest.approx(1792974600.25)


def sqlite_schema(session: Session) -> Rows:
    """Describe every table by the lines of its statement, and every index by the whole of it."""
    rows = run(session, "SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {
        (table, kind, line.strip().rstrip(","))
        for kind, table, sql in rows
        for line in (re.sub(ADDED, ",\n", sql).splitlines() if kind == "table" else [sql])
        if kind != "trigger" and table != "alembic_version"
    }


def postgres_schema(session: Session) -> Rows:
    """Describe every table by its columns, constraints and indexes, as PostgreSQL itself writes them."""
    queries = (
        """SELECT c.relname, 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0""",
        """SELECT conrelid::regclass::text, 'constraint', conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
        "SELECT tablename, 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT c.relname, 'option', o FROM pg_class c, unnest(c.reloptions) o
        WHERE c.relnamespace = 'public'::regnamespace AND o LIKE 'fillfactor=%'""",
    )
    rows = {tuple(row) for query in queries for row in run(session, query)}
    return {row for row in rows if row[0] != "alembic_version"}


def drop_everything(database: Database) -> None:
    """Empty the database again."""
    METADATA.drop_all(database.engine)
    database.close()


def limits_of(tier: Tier, limits: dict[str, int]) -> dict[str, int]:
    """Read those numbers of a tier."""
    return {name: getattr(tier, name) for name in limits}


def count(database: Database, table: str) -> int:
    """Count the rows of a table."""
    with database.read() as session:
        return int(run(session, f"SELECT count(*) FROM {table}").scalar_one())
