"""The API, served for a test."""

from collections.abc import Iterator

import pytest

from tests.acceptance.served import Served, captured_logs, served


@pytest.fixture(autouse=True)
def _logs_as_in_production() -> Iterator[None]:
    """Log as a server does; what structlog does by itself draws each traceback with all its variables."""
    with captured_logs():
        yield


@pytest.fixture
def greenroom(database_url: str) -> Iterator[Served]:
    """Serve the API on SQLite and on PostgreSQL, each time on a database of the test's own."""
    with served(database_url) as running:
        yield running


@pytest.fixture
def greenroom_on_sqlite(sqlite_database: str) -> Iterator[Served]:
    """Serve the API on SQLite only, for promises that no database has a part in."""
    with served(sqlite_database) as running:
        yield running
