"""The authenticator: who goes on calling is looked up again meanwhile, and what is found counts."""

import asyncio
from types import SimpleNamespace

import pytest

from api.auth import Authenticator
from persistence import keys, users
from persistence.database import Database
from persistence.errors import UnauthenticatedError
from persistence.settings import DatabaseSettings

KEY = "K" * 40


def test_a_key_that_is_used_is_looked_up_again_meanwhile(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the next call is still answered from memory, and the one after it knows that the key is revoked."""
    # given
    database = Database(DatabaseSettings(), url=database_url)
    with database.write() as session:
        users.ensure_admin(session, admin_key=KEY)
    authenticator = Authenticator(database)
    moment = 1000.0
    monkeypatch.setattr("api.auth.time", SimpleNamespace(monotonic=lambda: moment))

    async def call() -> str:
        return (await authenticator.identify([f"Bearer {KEY}"], "127.0.0.1")).user_name

    async def scenario() -> None:
        nonlocal moment
        assert await call() == "admin"
        # when
        with database.write() as session:
            ((key_id, _),) = keys.find(session, prefixes=keys.prefixes(KEY))
            keys.revoke(session, key_id=key_id)
        moment += 0.5
        assert await call() == "admin"
        await asyncio.gather(*authenticator._asking.values())
        # then
        with pytest.raises(UnauthenticatedError):
            await call()

    asyncio.run(scenario())
    database.close()
