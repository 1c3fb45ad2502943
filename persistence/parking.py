"""Parking: the jobs of a paused run leave their lane, so that dispatch need not look past thousands of them at each turn.

That a paused run starts nothing is held by dispatch itself; parking comes behind it, in chunks, and what enters a lane later is
parked by the sweeper.
"""

from sqlmodel import Session

from persistence import counters
from persistence.batches import among, many
from persistence.jobs import IN_LANE, PARKED
from persistence.runs import HELD_BACK
from persistence.statements import run

_CHUNK = 1000


def park(session: Session, *, run_id: str, may_wait: bool = True) -> int:
    """Take up to a chunk of the jobs of a run out of their lane, if it is paused.

    :param may_wait: whether to wait for its user, where that is locked elsewhere.
    :returns: how many.
    """
    return _move(session, run_id, parks=True) if _has_user(session, run_id, may_wait=may_wait) else 0


def unpark(session: Session, *, run_id: str, may_wait: bool = True) -> int:
    """Put up to a chunk of the parked jobs of a run back into their lane, if it is not paused.

    :param may_wait: whether to wait for its user, where that is locked elsewhere.
    :returns: how many.
    """
    return _move(session, run_id, parks=False) if _has_user(session, run_id, may_wait=may_wait) else 0


def settle(session: Session) -> int:
    """Do up to a chunk of what a caller has left undone, and park what has entered a lane since the pause.

    :returns: how many jobs were moved.
    """
    lost = run(
        session,
        f"""SELECT run_id FROM jobs j WHERE {PARKED} AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = j.run_id
            AND r.{HELD_BACK}) LIMIT 1""",
    ).first()
    if lost is not None:
        return unpark(session, run_id=str(lost.run_id), may_wait=False)
    waiting = run(
        session,
        f"""SELECT id FROM runs WHERE {HELD_BACK} AND EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = runs.id
            AND j.run_id IS NOT NULL AND j.status = 'queued' AND j.blocked_by IS NULL AND NOT j.slot) LIMIT 1""",
    ).first()
    return 0 if waiting is None else park(session, run_id=str(waiting.id), may_wait=False)


def _has_user(session: Session, run_id: str, *, may_wait: bool) -> bool:
    user = str(run(session, "SELECT user_id FROM runs WHERE id = :id", id=run_id).one().user_id)
    return user in counters.lock_users(session, [user], skip_locked=not may_wait).rows


def _move(session: Session, run_id: str, *, parks: bool) -> int:
    which, reason = (IN_LANE, "'paused'") if parks else (PARKED, "NULL")
    rows = run(
        session,
        f"""SELECT id FROM jobs WHERE run_id = :run AND run_id IS NOT NULL AND {which}
        AND {"" if parks else "NOT"} EXISTS (SELECT 1 FROM runs WHERE id = :run AND {HELD_BACK}) ORDER BY id LIMIT {_CHUNK}""",
        run=run_id,
    )
    moved = run(
        session,
        f"UPDATE jobs SET blocked_by = {reason} WHERE id {among(session, 'ids')} AND {which} RETURNING user_id",
        ids=many(session, [str(row.id) for row in rows]),
    )
    change = counters.Change()
    for (user_id,) in moved:
        change.ready(str(user_id), -1 if parks else 1)
    change.write(session)
    return len(moved)
