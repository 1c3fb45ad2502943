"""Failing what nobody has started: claimed and failed in one step, for there is none from queued to failed (ADR 0011)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlmodel import Session

from persistence import counters, dead_letters, transitions
from persistence.attempts import Ending, Outcome
from persistence.batches import Batch, among, flag, many, word
from persistence.dead_letters import fingerprint_of
from persistence.statements import run
from persistence.states import Status


def fail(
    session: Session,
    messages: Mapping[str, str],
    users: counters.LockedUsers,
    *,
    guard: str,
    kind: str,
    place: str,
    reason: str,
    worker_id: str | None = None,
) -> int:
    """Fail queued jobs without a slot, whose users are locked, each with a dead letter and its counts.

    :param messages: what the error of each job says.
    :param guard: the condition that the jobs are still to be failed.
    :param kind: the name of the error, `place` what else makes up its fingerprint.
    :param reason: what the audit trail says.
    :param worker_id: the worker whose sweeper says so.
    :returns: how many.
    """
    rows = run(
        session,
        f"""SELECT id, user_id, blocked_by FROM jobs WHERE id {among(session, "ids")} AND status = 'queued' AND NOT slot
        AND {guard}""",
        ids=many(session, sorted(messages)),
    ).all()
    was_blocked = {str(row.id): row.blocked_by is not None for row in rows if str(row.user_id) in users.rows}
    claimed = run(
        session,
        f"""UPDATE jobs SET status = 'processing', attempt = attempt + 1, claim_no = claim_no + 1, seq = seq + 1,
            worker_id = :worker, blocked_by = NULL, started_at = :now
        WHERE id {among(session, "ids")} AND status = 'queued' AND NOT slot
        RETURNING id, user_id, claim_no, attempt, run_id, run_group""",
        ids=many(session, sorted(was_blocked)),
        worker=worker_id,
        now=users.now,
    ).all()
    change = counters.Change()
    outcomes = []
    for row in claimed:
        error = {"type": kind, "message": messages[str(row.id)], "retryable": False, "attempt": row.attempt}
        outcomes.append(_outcome(row, msgspec.json.encode(error).decode(), reason, fingerprint_of(kind, place)))
        change.unfinished(str(row.user_id), -1)
        change.moved(row.run_id, row.run_group, Status.QUEUED, Status.FAILED)
        if not was_blocked[str(row.id)]:
            change.ready(str(row.user_id), -1)
    transitions.record(session, [outcome.job_id for outcome in outcomes], before=Status.QUEUED, now=users.now)
    batch = Batch(session, "b", {"id": "uuid", "error": "text"}, [(o.job_id, o.error) for o in outcomes])
    run(
        session,
        f"""UPDATE jobs SET status = 'failed', seq = jobs.seq + 1, finished_at = :now, error = b.error FROM {batch.sql}
        WHERE jobs.id = b.id AND {word("jobs.status")} = 'processing' AND {flag("jobs.slot")} = 0""",
        now=users.now,
        **batch.parameters,
    )
    steps = [(o.job_id, "processing", o.attempt, o.reason, o.error) for o in outcomes]
    transitions.record_outcomes(session, steps, now=users.now)
    dead_letters.bury(session, outcomes, now=users.now)
    change.write(session)
    return len(outcomes)


def _outcome(row: Any, error: str, reason: str, fingerprint: str) -> Outcome:
    return Outcome(
        str(row.id),
        str(row.user_id),
        row.claim_no,
        row.attempt,
        Ending.FAILED,
        error=error,
        reason=reason,
        fingerprint=fingerprint,
    )
