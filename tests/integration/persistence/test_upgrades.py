"""The way from the first version's tables to today's: rows stay, promises hold, and who might write before may write all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect, select
from sqlalchemy.engine import Connection

from persistence import migrate as migrations
from persistence.database import Database
from persistence.migrate import FOLDER, migrate
from persistence.models import METADATA
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.verify import verify
from tests import factories
from tests.services import new_database

_KEPT = ("tenants", "users", "jobs", "dependencies", "transitions")
_ROLE = "greenroom_of_before"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def first_version(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a database with the first version's tables only."""
    folder = tmp_path / "first"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "000[2-9]_*", "00[1-9][0-9]_*"))
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "FOLDER", folder)
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'old.db'}"
            migrate(url)
            patched.undo()
            yield url
            return
        with new_database(request.getfixturevalue("postgres_url")) as url:
            migrate(url)
            patched.undo()
            yield url


def test_rows_of_the_first_version_stay(first_version: str, sqlite_database: str) -> None:
    """Jobs, what they wait for and their audit trail are the same after all migrations, and every promise holds."""
    # given
    source, target = (Database(DatabaseSettings(), url=url) for url in (sqlite_database, first_version))
    with source.write() as session:
        ann = factories.user(session)
        parent, child = factories.submit(session, ann, *factories.submissions(2))
        run(session, "INSERT INTO dependencies (job_id, parent_id) VALUES (:child, :parent)", child=child, parent=parent)
        run(session, "UPDATE jobs SET blocked_by = 'dependency' WHERE id = :child", child=child)
        run(session, "UPDATE users SET ready = ready - 1")
    with source.engine.connect() as there, target.engine.begin() as here:
        columns = _columns(here)
        _copy(there, here, columns)
        before = _rows(here, columns)
    # when
    target.close()
    migrate(first_version)
    # then
    target = Database(DatabaseSettings(), url=first_version)
    with target.engine.begin() as here:
        after = _rows(here, columns)
    assert [len(rows) for rows in after.values()] == [1, 1, 2, 1, 2]
    assert after == before
    with target.read() as session:
        assert verify(session) == []
    source.close()
    target.close()


@pytest.mark.parametrize("first_version", [pytest.param("postgres", marks=pytest.mark.postgresql)], indirect=True)
def test_a_role_of_the_first_version_may_write_what_came_later(first_version: str) -> None:
    """A role that was given its rights before there were these tables has them on all of them after the migrations."""
    with psycopg.connect(first_version.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {_ROLE}")
        try:
            owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON books TO {_ROLE}")
            old = _tables(owner)
            migrate(first_version)
            new = _tables(owner) - old
            refused = [
                (table, right)
                for table in sorted(new)
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
                if owner.execute("SELECT has_table_privilege(%s, %s, %s)", (_ROLE, table, right)).fetchone() != (True,)
            ]
        finally:
            owner.execute(f"DROP OWNED BY {_ROLE}")
            owner.execute(f"DROP ROLE {_ROLE}")
    assert new >= {"runs", "schedules", "webhook_deliveries", "browser_sessions", "scans"}
    assert refused == []


def _tables(owner: psycopg.Connection) -> set[str]:
    return {name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def _columns(connection: Connection) -> dict[str, list[str]]:
    return {name: [column["name"] for column in inspect(connection).get_columns(name)] for name in _KEPT}


def _copy(there: Connection, here: Connection, columns: dict[str, list[str]]) -> None:
    for name, names in columns.items():
        table = METADATA.tables[name]
        rows = there.execute(select(*(table.c[column] for column in names if column != "xid"))).mappings()
        here.execute(table.insert(), [dict(row) for row in rows])


def _rows(connection: Connection, columns: dict[str, list[str]]) -> dict[str, set[tuple[str, ...]]]:
    """Read what the first version knows of each table."""
    return {
        name: {tuple(map(str, row)) for row in connection.execute(select(*(METADATA.tables[name].c[column] for column in names)))}
        for name, names in columns.items()
    }
