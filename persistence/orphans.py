"""Orphans: jobs of a type that no live worker performs; after a while they fail with a message that names it."""

from collections.abc import Collection

import msgspec
from sqlmodel import Session

from persistence import counters, dead_letters, transitions
from persistence.attempts import Ending, Outcome
from persistence.batches import among, many
from persistence.dead_letters import fingerprint_of
from persistence.statements import run
from persistence.states import Status

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
    error = msgspec.json.encode({"type": NO_PROCESSOR, "message": message, "retryable": False, "attempt": 1}).decode()
    claimed = run(
        session,
        f"""UPDATE jobs SET status = 'processing', attempt = attempt + 1, claim_no = claim_no + 1, seq = seq + 1,
            worker_id = :worker,
            started_at = :now WHERE id {among(session, "ids")} AND {_IN_LANE} RETURNING id, user_id, claim_no, attempt""",
        ids=many(session, [str(row.id) for row in waiting if str(row.user_id) in users.rows]),
        worker=worker_id,
        now=users.now,
    ).all()
    outcomes = [
        Outcome(
            str(job_id),
            str(user_id),
            claim_no,
            attempt,
            Ending.FAILED,
            error=error,
            reason="no processor",
            fingerprint=fingerprint_of(NO_PROCESSOR, kind),
        )
        for job_id, user_id, claim_no, attempt in claimed
    ]
    ids = [outcome.job_id for outcome in outcomes]
    transitions.record(session, ids, before=Status.QUEUED, now=users.now)
    run(
        session,
        f"""UPDATE jobs SET status = 'failed', seq = seq + 1, finished_at = :now, error = :error
        WHERE id {among(session, "ids")} AND status = 'processing' AND NOT slot""",
        ids=many(session, ids),
        now=users.now,
        error=error,
    )
    transitions.record_outcomes(
        session, [(o.job_id, "processing", o.attempt, o.reason, o.error) for o in outcomes], now=users.now
    )
    dead_letters.bury(session, outcomes, now=users.now)
    change = counters.Change()
    for outcome in outcomes:
        change.ready(outcome.user_id, -1)
        change.unfinished(outcome.user_id, -1)
    change.write(session)
    return len(outcomes)
