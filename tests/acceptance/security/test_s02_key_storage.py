"""S2: what a thief finds in the database does not open anything."""

import base64
import hashlib
from typing import Any

from sqlalchemy import select

from persistence.models import METADATA
from tests.acceptance.served import Served


def test_the_database_holds_no_secret(greenroom: Served) -> None:
    """No column of any table holds a key or its secret; the hash is that of the key, and the secret has 256 random bits."""
    # given
    greenroom.put_user("ann")
    made = greenroom.make_key("ann")
    secret = made["key"].split("_", 2)[2]
    # when
    dump = everything(greenroom)
    # then
    assert made["prefix"] in dump
    assert hashlib.sha256(made["key"].encode()).hexdigest() in dump
    assert secret not in dump
    assert greenroom.admin_key not in dump
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert greenroom.make_key("ann")["key"].split("_", 2)[2] != secret


def everything(greenroom: Served) -> str:
    """Read all columns of all rows of all tables."""
    rows: list[Any] = []
    with greenroom.database.read() as session:
        for table in METADATA.sorted_tables:
            rows += session.connection().execute(select(table)).all()
    return repr(rows)
