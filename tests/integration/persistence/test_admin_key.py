"""The operator's key: made once, or chosen."""

from persistence import identities, keys
from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.users import ensure_admin

CHOSEN, LATER = "an-operators-own-choice-of-a-key-0001", "gr_mine_an-operators-own-choice-of-a-key-0002"


def test_the_operator_has_the_key_that_was_made_or_chosen(database_url: str) -> None:
    """The first start makes a key and later ones none; of chosen keys, in any form, only the last one works."""
    database = Database(DatabaseSettings(), url=database_url)

    def start(chosen: str | None) -> str | None:
        with database.write() as session:
            return ensure_admin(session, admin_key=chosen)

    def works(key: str) -> bool:
        with database.read() as session:
            found = keys.find(session, prefixes=keys.prefixes(key))
            live = [identities.of_key(session, key_id=id) for id, hash in found if hash == keys.secret_hash(key)]
        return [identity.scope for identity in live if identity] == ["admin"]

    try:
        made, again = start(None), start(None)
        assert made is not None
        assert again is None
        for chosen, other in ((CHOSEN, LATER), (LATER, CHOSEN), (CHOSEN, LATER), (CHOSEN, LATER)):
            assert start(chosen) is None
            assert (works(made), works(chosen), works(other)) == (True, True, False)
        assert start(None) is None
        assert works(CHOSEN)
    finally:
        database.close()
