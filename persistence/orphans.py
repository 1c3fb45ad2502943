"""Orphans: jobs of a type that no live worker performs; after a while they fail with a message that names it."""

from collections.abc import Collection

from sqlmodel import Session

from persistence import counters, unstarted
from persistence.statements import run

_CHUNK = 200
NO_PROCESSOR = "NoProcessor"
_IN_LANE = "status = 'queued' AND blocked_by IS NULL AND NOT slot"


def unknown_types(session: Session, *, known: Collection[str]) -> list[str]:
    """List the types of waiting jobs that are not among the known ones; it goes from type to type in the index."""
    rows = run(
        session,
        """WITH RECURSIVE kinds(type) AS (SELECT min(type) FROM jobs UNION ALL
            SELECT (SELECT min(j.type) FROM jobs j WHERE j.type > kinds.type) FROM kinds WHERE kinds.type IS NOT NULL)
        SELECT type FROM kinds WHERE type IS NOT NULL""",
    )
    strangers = [kind for (kind,) in rows if kind not in known]
    return [
        kind
        for kind in strangers
        if run(session, f"SELECT 1 FROM jobs WHERE type = :kind AND {_IN_LANE} LIMIT 1", kind=kind).first()
    ]


def fail_type(session: Session, *, kind: str, worker_id: str) -> int:
    """Fail up to a chunk of the waiting jobs of a type: claimed and failed in one step, so that the trail stays legal.

    :param worker_id: the worker whose sweeper says so.
    :returns: how many.
    """
    waiting = run(session, f"SELECT id, user_id FROM jobs WHERE type = :kind AND {_IN_LANE} LIMIT {_CHUNK}", kind=kind).all()
    if not waiting:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in waiting}, skip_locked=True)
    message = f"No processor registered for job type: {kind}"
    return unstarted.fail(
        session,
        {str(row.id): message for row in waiting if str(row.user_id) in users.rows},
        users,
        guard="blocked_by IS NULL",
        kind=NO_PROCESSOR,
        place=kind,
        reason="no processor",
        worker_id=worker_id,
    )
