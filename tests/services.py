"""Real services for tests, as pytest fixtures; none is touched before a test asks for it.

PostgreSQL comes by a ladder (tests/ladder.py): the URL in GREENROOM_TEST_DATABASE_URL, a Docker engine that answers
(tests/containers.py), server binaries on this machine. Without any, its tests are skipped with a loud line, and fail in CI.

`python -m tests.services postgres -- COMMAND …` starts a private server and runs COMMAND with the URL of an empty
database in GREENROOM_DATABASE_URL.
"""

import argparse
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests import postgres, rabbitmq, redis
from tests.keeping import Server
from tests.ladder import UnavailableError

Kept = TypeVar("Kept", bound=Server)

_numbers = itertools.count(1)
_found: dict[str, str] = {}
_missing: dict[str, str] = {}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL server, with a role that may create databases."""
    with ExitStack() as stack:
        try:
            rung, url = stack.enter_context(postgres.server())
        except UnavailableError as error:
            give_up("PostgreSQL", str(error))
        _found["PostgreSQL"] = f"{rung} server"
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """Give the URL of a migrated database that nobody is connected to, for others to be copied from."""
    with new_database(postgres_url) as url:
        migrated(url)
        with connected(postgres_url) as connection:
            # The copy is refused while anybody is connected, a pool that migrate left behind included.
            name = sql.Identifier(database_name(url))
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database_name(url)])
        yield url


@pytest.fixture
def postgres_database(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """Give the URL of a migrated, empty PostgreSQL database of the test's own."""
    with new_database(postgres_url, template=database_name(postgres_template)) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a migrated SQLite database, for others to be copied from."""
    path = tmp_path_factory.mktemp("template") / "greenroom.db"
    migrated(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the one file is the whole database
    return path


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> str:
    """Give the URL of a migrated, empty SQLite database of the test's own."""
    path = tmp_path / "greenroom.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """Give the URL of a RabbitMQ server, with a user that may make and delete queues in its virtual host."""
    yield from _served("RabbitMQ", rabbitmq.server())


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of a database of a Redis server, which tests empty."""
    yield from _served("Redis", redis.server())


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[rabbitmq.Rabbit]:
    """Give a RabbitMQ server that tests may stop, kill and wipe."""
    yield from _kept("RabbitMQ to stop and start", rabbitmq.private())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Give a Redis server that tests may stop, kill and wipe."""
    yield from _kept("Redis to stop and start", redis.private())


def _served(service: str, ladder: AbstractContextManager[tuple[str, str]]) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            rung, url = stack.enter_context(ladder)
        except UnavailableError as error:
            give_up(service, str(error))
        _found[service] = f"{rung} server"
        yield url


def _kept(service: str, private: AbstractContextManager[Kept]) -> Iterator[Kept]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(private)
        except UnavailableError as error:
            give_up(service, str(error))
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the test on SQLite and on PostgreSQL, each time with a migrated, empty database of its own."""
    url: str = request.getfixturevalue(f"{request.param}_database")
    return url


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear from a process that ran a part of the tests which services it had; one that was killed has nothing to say."""
    del error
    told = getattr(node, "workeroutput", {}).get("services", {"found": {}, "missing": {}})
    _found.update(told["found"])
    _missing.update(told["missing"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints the summary, if it is another one."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["services"] = {"found": _found, "missing": _missing}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which services the tests had, and loudly which were not to be had."""
    for service, origin in _found.items():
        terminalreporter.write_line(f"Tested with {service}: {origin}")
    for service, reason in _missing.items():
        terminalreporter.write_line(f"NOT TESTED WITH {service}: {reason}", red=True, bold=True)


def give_up(service: str, reason: str) -> NoReturn:
    """Skip the test that needs a service which cannot be had, or fail it in CI."""
    _missing[service] = reason
    if os.environ.get("CI"):
        pytest.fail(f"{service} is missing, and in CI that is a failure: {reason}", pytrace=False)
    pytest.skip(f"{service} is missing: {reason}")


@contextmanager
def new_database(server_url: str, template: str = "template1") -> Iterator[str]:
    """Create a database, give its URL, and drop it with all its connections in the end."""
    name = f"greenroom_test_{os.getpid()}_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with connected(server_url) as connection:
        connection.execute(create)
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with connected(server_url) as connection:
            connection.execute(drop)


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """Connect to a database outside any transaction, as CREATE DATABASE wants it."""
    scheme, rest = url.split("://", 1)
    with psycopg.connect(f"{scheme.split('+')[0]}://{rest}", autocommit=True) as connection:
        yield connection


def migrated(url: str) -> None:
    """Bring a database's tables up to date."""
    from persistence.migrate import migrate  # late: unit tests need not wait for Alembic

    migrate(url)


def database_name(url: str) -> str:
    """Take the database's name from its URL."""
    return urlsplit(url).path.removeprefix("/")


def main() -> int:
    """Run a command beside a private server; its exit status is the command's."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("service", choices=["postgres"])
    parser.add_argument("command", nargs="+")
    command: list[str] = parser.parse_args().command
    with postgres.private() as server_url, new_database(server_url) as url:
        child = subprocess.Popen(command, env=os.environ | {"GREENROOM_DATABASE_URL": url})
        # The command decides how to end: a terminal sends it Ctrl-C as well, SIGTERM is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
