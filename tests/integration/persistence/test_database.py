"""Connections: what one use of a connection sets is gone before the next one."""

import pytest

from persistence.database import Database
from persistence.statements import run
from tests import factories


def test_a_write_after_a_glance_is_a_transaction(database: Database) -> None:
    """A glance has no transaction; whoever gets its connection next has one, whether the glance went well or not."""
    one = database.apart()
    with one.glance() as session:
        assert run(session, "SELECT count(*) FROM users").scalar_one() == 0
    with pytest.raises(ZeroDivisionError), one.glance() as session:
        run(session, "SELECT count(*) FROM users")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), one.write() as session:
        factories.user(session)
        raise ZeroDivisionError

    with one.glance() as session:
        assert run(session, "SELECT count(*) FROM users").scalar_one() == 0
    one.close()
