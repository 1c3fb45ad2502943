"""A database for the tests of verbs."""

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.verify import verify


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open the test's own database."""
    database = Database(DatabaseSettings(), url=database_url)
    yield database
    database.close()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """Open one writing transaction; after the test every invariant must hold."""
    with database.write() as session:
        yield session
    with database.read() as session:
        assert verify(session) == []
