"""The status of the queue: how many jobs stand how, by type, and which workers there are."""

from collections import defaultdict
from collections.abc import Sequence

from sqlmodel import Session, col, select

from persistence.statements import run
from persistence.workers import Worker


def counts(session: Session, *, user_id: str | None) -> dict[str, dict[str, int]]:
    """Count jobs by type and status; archived ones are passed by, so that the past does not make it slower.

    :param user_id: whose jobs; None for everybody's.
    :returns: by type the number of jobs in each status that occurs.
    """
    mine = "" if user_id is None else "AND k.user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    # A cross join keeps its order on SQLite, else it goes through all jobs. Every moment is after '-infinity', as text too;
    # a range is what brings it to use the index.
    rows = run(
        session,
        f"""SELECT type, status, count(*) FROM (
            SELECT k.type, k.status FROM users u CROSS JOIN jobs k
            WHERE k.user_id = u.id AND k.status IN ('processing', 'queued') {mine}
            UNION ALL
            SELECT k.type, k.status FROM jobs k
            WHERE k.finished_at IS NOT NULL AND k.archived_at IS NULL AND k.finished_at > '-infinity' {mine}) AS counted
        GROUP BY type, status ORDER BY 1, 2""",
        **owner,
    )
    for kind, status, count in rows:
        found[kind][status] = count
    return dict(found)


def workers(session: Session) -> Sequence[Worker]:
    """List the workers that are not dead, in the order in which they started."""
    return session.scalars(select(Worker).where(col(Worker.dead_at).is_(None)).order_by(col(Worker.id))).all()
