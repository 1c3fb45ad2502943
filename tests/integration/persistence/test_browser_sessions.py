"""Browser sessions: what is kept of them, and that they end."""

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from persistence import browser_sessions, identities, keys, users
from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.statements import run


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """Open a transaction on a database with the operator's user."""
    database = Database(DatabaseSettings(), url=database_url)
    with database.write() as opened:
        users.ensure_admin(opened, admin_key="K" * 40)
        yield opened
    database.close()


def key_of(session: Session) -> str:
    """Make a key and give its id."""
    row, _ = keys.create(session, user_id=users.find(session, name="admin").id, scope="user")
    return row.id


def who(session: Session, token: str) -> identities.Identity | None:
    """Find who has signed in."""
    return identities.of_browser_session(session, secret_hash=keys.secret_hash(token))


def test_only_a_hash_is_kept(session: Session) -> None:
    """A session finds its user with its key's scope, for its own time; the table does not hold its secret."""
    token, _ = browser_sessions.begin(session, key_id=key_of(session), seconds=60)
    identity = who(session, token)
    assert identity is not None
    assert (identity.user_name, identity.scope) == ("admin", "user")
    assert identity.expires_in_seconds == pytest.approx(60, abs=5)
    assert token not in str(run(session, "SELECT * FROM browser_sessions"))
    assert len(token) >= 43
    assert who(session, token + "x") is None


def test_it_ends_in_time(session: Session) -> None:
    """When its time is over it is nobody's, and pruning takes it, and only it, away."""
    key = key_of(session)
    over, _ = browser_sessions.begin(session, key_id=key, seconds=-1)
    good, _ = browser_sessions.begin(session, key_id=key, seconds=60)
    assert who(session, over) is None
    assert browser_sessions.prune(session, older_than_seconds=0.0, most=10) == 1
    assert browser_sessions.prune(session, older_than_seconds=0.0, most=10) == 0
    assert who(session, good) is not None


def test_it_ends_with_its_key(session: Session) -> None:
    """Revoking the key ends it; no statement has to remember to."""
    key = key_of(session)
    token, _ = browser_sessions.begin(session, key_id=key, seconds=60)
    keys.revoke(session, key_id=key)
    assert who(session, token) is None


def test_signing_out_ends_one(session: Session) -> None:
    """Only the session that signs out ends; again changes nothing."""
    key = key_of(session)
    one, other = (browser_sessions.begin(session, key_id=key, seconds=60)[0] for _ in range(2))
    assert browser_sessions.end(session, token=one)
    assert not browser_sessions.end(session, token=one)
    assert (who(session, one), who(session, other) is None) == (None, False)


def test_a_key_has_so_many(session: Session) -> None:
    """The oldest session of a key makes room for its newest; another key's stay."""
    key, other = key_of(session), key_of(session)
    stays, _ = browser_sessions.begin(session, key_id=other, seconds=60)
    tokens = [browser_sessions.begin(session, key_id=key, seconds=60)[0] for _ in range(52)]
    alive = [who(session, token) is not None for token in tokens]
    assert alive == [False] * 2 + [True] * 50
    assert who(session, stays) is not None
