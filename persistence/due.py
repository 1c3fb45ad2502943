"""Due jobs: what waited for a moment enters its lane when the moment has come."""

import math

from sqlmodel import Session

from persistence import counters
from persistence.batches import among, many
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.schedules import ACTIVE
from persistence.statements import run

_CHUNK = 500
_NOT_DUE = "status = 'queued' AND blocked_by IN ('schedule', 'retry')"


def promote(session: Session) -> int:
    """Let the jobs whose moment has come into their lanes; those of users that are locked elsewhere follow later.

    :returns: how many.
    """
    waiting = run(
        session,
        f"SELECT id, user_id FROM jobs WHERE {_NOT_DUE} AND run_after <= :now ORDER BY run_after LIMIT {_CHUNK}",
        now=database_now(session),
    ).all()
    if not waiting:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in waiting}, skip_locked=True)
    entered = run(
        session,
        f"""UPDATE jobs SET blocked_by = NULL WHERE id {among(session, "ids")} AND {_NOT_DUE} AND run_after <= :now
        RETURNING user_id""",
        ids=many(session, [str(row.id) for row in waiting if str(row.user_id) in users.rows]),
        now=users.now,
    ).all()
    change = counters.Change()
    for (user_id,) in entered:
        change.ready(str(user_id), 1)
    change.write(session)
    return len(entered)


def seconds_to_next(session: Session) -> float:
    """Tell how long it is until the next job or schedule is due, by the database's clock; for ever when none is."""
    moments = run(
        session,
        f"""SELECT (SELECT min(run_after) FROM jobs WHERE {_NOT_DUE}) AS job,
            (SELECT min(due_at) FROM schedules WHERE {ACTIVE}) AS schedule""",
    ).one()
    waiting = [moment for moment in map(as_instant, moments) if moment is not None]
    if not waiting:
        return math.inf
    earliest = min(waiting)
    moment = as_instant(database_now(session))
    assert moment is not None  # noqa: S101 - a clock always answers
    return max(0.0, (earliest - moment).total_seconds())
