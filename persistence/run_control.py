"""The hand on a run: it is paused, resumed and cancelled as one."""

from collections.abc import Callable
from functools import partial

from sqlmodel import Session

from persistence import cancellation, counters, parking, pauses, resend
from persistence.database import Database
from persistence.database import now as database_now
from persistence.errors import IllegalTransitionError
from persistence.runs import HELD_BACK, UNSETTLED, Run, RunStatus, get
from persistence.statements import run

REASON = "run cancelled"


def pause(database: Database, *, run_id: str, user_id: str | None) -> Run:
    """Start none of a run's jobs any more; those that are being processed go on.

    When this returns no dispatch is under way that does not know of it, and what had been dispatched is back in its lane.

    :param user_id: whose run it must be; None for anybody's.
    :raises NotFoundError: there is no such run.
    :raises IllegalTransitionError: it is neither pending nor running.
    """
    with database.read() as session:
        get(session, run_id=run_id, user_id=user_id)  # nobody's nonsense is to hold up dispatch
    with database.write() as session:
        pauses.shut(session)
        _mark(session, run_id, "paused_at = :now", "paused_at IS NULL AND cancelled_at IS NULL AND finished_at IS NULL", "paused")
    # Apart from the above: a dispatch may wait for the gate while it holds the user.
    _repeat(database, partial(_take_back, run_id=run_id))
    _repeat(database, partial(parking.park, run_id=run_id))
    with database.read() as session:
        return get(session, run_id=run_id, user_id=user_id)


def _take_back(session: Session, *, run_id: str) -> int:
    counters.lock_users(session, [get(session, run_id=run_id, user_id=None).user_id])
    return resend.take_back(session, run_id=run_id)


def resume(database: Database, *, run_id: str, user_id: str | None) -> Run:
    """Let a paused run go on.

    :param user_id: whose run it must be; None for anybody's.
    :raises NotFoundError: there is no such run.
    :raises IllegalTransitionError: it is not paused.
    """
    with database.write() as session:
        # Whoever parks its jobs holds this lock, and has looked at the run behind it.
        counters.lock_users(session, [get(session, run_id=run_id, user_id=user_id).user_id])
        _mark(session, run_id, "paused_at = NULL", HELD_BACK, "resumed")
    _repeat(database, partial(parking.unpark, run_id=run_id))
    with database.read() as session:
        return get(session, run_id=run_id, user_id=user_id)


def _mark(session: Session, run_id: str, change: str, guard: str, word: str) -> None:
    now = {"now": database_now(session)} if ":now" in change else {}
    marked = run(session, f"UPDATE runs SET {change} WHERE id = :id AND {guard} RETURNING id", id=run_id, **now)
    if not marked:
        found = get(session, run_id=run_id, user_id=None)
        raise IllegalTransitionError(f"the run is {found.status} and cannot be {word}")


def _repeat(database: Database, step: Callable[[Session], int]) -> None:
    moved = 1
    while moved:
        with database.write() as session:
            moved = step(session)


def cancel(database: Database, *, run_id: str, user_id: str | None) -> Run:
    """Cancel what a run has left to do, for good; what is completed stays, and a cancelled run stays cancelled.

    From its first commit on the run takes no replay and no follow-ups; its jobs are then cancelled in chunks, and should
    nobody be left to do that, the sweeper does.

    :param user_id: whose run it must be; None for anybody's.
    :raises NotFoundError: there is no such run.
    :raises IllegalTransitionError: it is completed.
    """
    with database.write() as session:
        found = get(session, run_id=run_id, user_id=user_id)
        # Whoever admits or replays a job of the run holds this lock, and has looked at the run behind it.
        counters.lock_users(session, [found.user_id])
        if get(session, run_id=run_id, user_id=user_id).status != RunStatus.CANCELLED:
            _mark(session, run_id, "cancelled_at = :now", "cancelled_at IS NULL AND finished_at IS NULL", "cancelled")
    _repeat(database, partial(cancel_rest, run_id=run_id))
    with database.read() as session:
        return get(session, run_id=run_id, user_id=user_id)


def cancel_rest(session: Session, *, run_id: str | None = None) -> int:
    """Cancel up to a chunk of the unfinished jobs of a cancelled run.

    :param run_id: which one; None looks for any, and leaves one alone whose user is locked elsewhere.
    :returns: how many jobs.
    """
    may_wait = run_id is not None
    if run_id is None:
        unsettled = run(session, f"SELECT id FROM runs WHERE {UNSETTLED} ORDER BY id LIMIT 1").first()
        if unsettled is None:
            return 0
        run_id = str(unsettled.id)
    user = str(run(session, "SELECT user_id FROM runs WHERE id = :id", id=run_id).one().user_id)
    if user not in counters.lock_users(session, [user], skip_locked=not may_wait).rows:
        return 0
    rows = run(
        session,
        f"""SELECT id FROM jobs WHERE run_id = :run AND run_id IS NOT NULL AND finished_at IS NULL
        ORDER BY id LIMIT {cancellation.CHUNK}""",
        run=run_id,
    )
    return len(cancellation.cancel_many(session, job_ids=[str(row.id) for row in rows], user_id=user, reason=REASON))
