"""The status of the queue: how many jobs stand how, by type, and which workers there are."""

from collections import defaultdict
from collections.abc import Sequence

from sqlmodel import Session, col, select

from persistence.statements import run
from persistence.workers import Worker


def counts(session: Session, *, user_id: str | None) -> dict[str, dict[str, int]]:
    """Count jobs by type and status.

    :param user_id: whose jobs; None for everybody's.
    :returns: by type the number of jobs in each status that occurs.
    """
    mine = "" if user_id is None else "WHERE user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    rows = run(session, f"SELECT type, status, count(*) FROM jobs {mine} GROUP BY type, status ORDER BY 1, 2", **owner)
    for kind, status, count in rows:
        found[kind][status] = count
    return dict(found)


def workers(session: Session) -> Sequence[Worker]:
    """List the workers that are not dead, in the order in which they started."""
    return session.scalars(select(Worker).where(col(Worker.dead_at).is_(None)).order_by(col(Worker.id))).all()
