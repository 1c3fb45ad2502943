"""A database for the tests of the core, sound again when a test has ended."""

from collections.abc import Iterator

import pytest

from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.verify import verify


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open the test's own database; after the test every invariant must hold."""
    database = Database(DatabaseSettings(), url=database_url)
    yield database
    with database.read() as session:
        violations = verify(session)
    database.close()
    assert violations == []
