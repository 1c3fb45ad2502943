"""Rescue: what a dead worker held goes back to its lane, or to the dead letters when that was its last attempt."""

from collections.abc import Sequence

import msgspec
from sqlmodel import Session

from persistence import counters, dead_letters, transitions
from persistence.attempts import Ending, Outcome
from persistence.batches import among, many
from persistence.dead_letters import fingerprint_of
from persistence.statements import run
from persistence.states import Status

_CHUNK = 200
WORKER_LOST = "WorkerLost"


def rescue(session: Session) -> int:
    """Take back the slots of up to a chunk of jobs whose worker is dead or missing, whatever their status.

    :returns: how many slots came back.
    """
    orphans = run(
        session,
        f"""SELECT j.id, j.user_id FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
        WHERE j.slot AND j.worker_id IS NOT NULL AND (w.id IS NULL OR w.dead_at IS NOT NULL) LIMIT {_CHUNK}""",
    ).all()
    if not orphans:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in orphans}, skip_locked=True)
    ids = [str(row.id) for row in orphans if str(row.user_id) in users.rows]
    change = counters.Change()
    taken_back = _requeue(session, ids, users, change)
    taken_back += _fail(session, ids, users, change)
    for user_id, limit in run(
        session,
        f"""UPDATE jobs SET slot = false WHERE id {among(session, "ids")} AND slot AND {_ORPHAN}
        AND status IN ('completed', 'failed', 'cancelled') RETURNING user_id, slot_limit""",
        ids=many(session, ids),
    ):
        change.held(str(user_id), -1, limit)
        taken_back += 1
    change.write(session)
    return taken_back


_ORPHAN = "NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = jobs.worker_id AND w.dead_at IS NULL)"


def _requeue(session: Session, ids: Sequence[str], users: counters.LockedUsers, change: counters.Change) -> int:
    rows = run(
        session,
        f"""UPDATE jobs SET status = 'queued', slot = false, seq = seq + 1, rescues = rescues + 1
        WHERE id {among(session, "ids")} AND status = 'processing' AND slot AND {_ORPHAN} AND attempt < max_attempts
        RETURNING id, user_id, slot_limit, charge, run_id, run_group""",
        ids=many(session, ids),
    ).all()
    for _, user_id, limit, charge, run_id, group in rows:
        user = str(user_id)
        change.moved(run_id, group, Status.PROCESSING, Status.QUEUED)
        change.held(user, -1, limit)
        change.clock(user, -charge)
        change.ready(user, 1)
    moved = [str(row.id) for row in rows]
    transitions.record(session, moved, before=Status.PROCESSING, now=users.now, reason="worker lost")
    return len(rows)


def _fail(session: Session, ids: Sequence[str], users: counters.LockedUsers, change: counters.Change) -> int:
    rows = run(
        session,
        f"""SELECT id, user_id, claim_no, attempt, worker_id FROM jobs WHERE id {among(session, "ids")}
        AND status = 'processing' AND slot AND {_ORPHAN} AND attempt >= max_attempts""",
        ids=many(session, ids),
    ).all()
    outcomes = []
    for job_id, user_id, claim_no, attempt, worker in rows:
        message = f"the worker process {worker} was lost while it worked on this job, and this was its last attempt"
        error = {"type": WORKER_LOST, "message": message, "retryable": True, "attempt": attempt}
        outcomes.append(
            Outcome(
                str(job_id),
                str(user_id),
                claim_no,
                attempt,
                Ending.FAILED,
                error=msgspec.json.encode(error).decode(),
                reason="worker lost",
                fingerprint=fingerprint_of(WORKER_LOST, ""),
            )
        )
    return fail_all(session, outcomes, users, change)


def fail_all(session: Session, outcomes: Sequence[Outcome], users: counters.LockedUsers, change: counters.Change) -> int:
    """Fail processing jobs that no worker will end, with a dead letter each; their users' rows are locked.

    :param change: takes what comes back; its caller writes it.
    """
    written = []
    for outcome in outcomes:
        row = run(
            session,
            """UPDATE jobs SET status = 'failed', slot = false, seq = seq + 1, rescues = rescues + 1, finished_at = :now,
                error = :error WHERE id = :id AND claim_no = :claim_no AND status = 'processing' AND slot
            RETURNING user_id, slot_limit, charge, run_id, run_group""",
            id=outcome.job_id,
            claim_no=outcome.claim_no,
            error=outcome.error,
            now=users.now,
        ).first()
        if row is None:
            continue
        change.held(outcome.user_id, -1, row.slot_limit)
        change.clock(outcome.user_id, -row.charge)
        change.unfinished(outcome.user_id, -1)
        change.moved(row.run_id, row.run_group, Status.PROCESSING, Status.FAILED)
        written.append(outcome)
    steps = [(o.job_id, "processing", o.attempt, o.reason, o.error) for o in written]
    transitions.record_outcomes(session, steps, now=users.now)
    dead_letters.bury(session, written, now=users.now)
    return len(written)
