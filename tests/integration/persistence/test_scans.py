"""Scans in the database: batches that may be written twice, a cursor, and the rights of a role."""

import pytest
from sqlmodel import Session

from persistence import repositories, scan_pulls, scans
from persistence.database import now
from persistence.ids import new_id
from persistence.scan_pulls import Pull
from persistence.scans import Phase, Scan
from tests import factories


@pytest.fixture
def scan_id(session: Session) -> str:
    """Enter a scan of a repository."""
    ann, made = factories.user(session), new_id()
    repositories.track(session, user_id=ann, owner="acme", name="site", url=None)
    found = repositories.get(session, user_id=ann, owner="acme", name="site")
    scans.create(session, scan_id=made, repository=found, now=now(session))
    return made


def counts(session: Session, scan_id: str) -> tuple[str, int, int, int, int]:
    """Read how far a scan is."""
    session.expire_all()
    scan = session.get_one(Scan, scan_id)
    return scan.phase, scan.cursor, scan.pr_count, scan.ingested_count, scan.embedded_count


def test_batches_may_come_twice(session: Session, scan_id: str) -> None:
    """A batch whose commit was not answered is written again: counts and cursor are the same as after the first time."""
    pulls = [Pull(number, f"Change {number}", f"{number:040x}", f"+{number}\n".encode()) for number in (3, 5, 8)]
    for _ in range(2):
        scan_pulls.enlist(session, scan_id=scan_id, pulls=pulls)
    for _ in range(2):
        scan_pulls.ingest(session, scan_id=scan_id, pulls=pulls[:2])
    assert counts(session, scan_id) == ("ingest", 5, 3, 2, 0)
    assert [pull.number for pull in scan_pulls.unread(session, scan_id=scan_id, after=5, limit=10)] == [8]
    scan_pulls.ingest(session, scan_id=scan_id, pulls=pulls[2:])
    scans.enter(session, scan_id=scan_id, phase=Phase.EMBED)
    assert counts(session, scan_id) == ("embed", 0, 3, 3, 0)
    for _ in range(2):
        scan_pulls.embed(session, scan_id=scan_id, vectors=[(3, b"three"), (5, b"five")])
    (left,) = scan_pulls.unembedded(session, scan_id=scan_id, after=5, limit=10)
    assert (left.number, left.title, left.diff) == (8, "Change 8", b"+8\n")
    assert counts(session, scan_id) == ("embed", 5, 3, 3, 2)
    assert scan_pulls.vectors(session, scan_id=scan_id) == [(3, "Change 3", b"three"), (5, "Change 5", b"five")]
    (gone,) = scan_pulls.unembedded(session, scan_id=scan_id, after=3, limit=1)
    assert (gone.number, gone.diff) == (5, None)


def test_enlisted_again_they_stay_as_they_were_read(session: Session, scan_id: str) -> None:
    """Pages of a list overlap when new pull requests come meanwhile: what was read stays."""
    scan_pulls.enlist(session, scan_id=scan_id, pulls=[Pull(1, "One")])
    scan_pulls.ingest(session, scan_id=scan_id, pulls=[Pull(1, "One, as it was read", diff=b"+1\n")])
    scan_pulls.enlist(session, scan_id=scan_id, pulls=[Pull(1, "One, renamed"), Pull(2, "Two")], truncated=True)

    assert [pull.title for pull in scan_pulls.unread(session, scan_id=scan_id, after=0, limit=9)] == [
        "One, as it was read",
        "Two",
    ]
    assert session.get_one(Scan, scan_id).truncated
