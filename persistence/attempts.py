"""An attempt's beginning and end: the claim on a message, and the outcome behind the fence."""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
from sqlmodel import Session

from persistence import admission, dead_letters, runs, transitions
from persistence.batches import Batch, flag, word
from persistence.counters import Change, LockedUsers, lock_users
from persistence.dispatch import RETURNED, Taken, taken_from
from persistence.statements import run
from persistence.states import FINAL, Status


class Ending(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    RETRY = "retry"
    FAILED = "failed"
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    CANCELLED = "cancelled"


_STATUS = {
    Ending.COMPLETED: Status.COMPLETED,
    Ending.RETRY: Status.QUEUED,
    Ending.FAILED: Status.FAILED,
    Ending.SNOOZED: Status.QUEUED,
    Ending.HANDED_BACK: Status.QUEUED,
    Ending.CANCELLED: Status.CANCELLED,
}
RESULT_REFUSED = "RESULT_REFUSED"

# These give the attempt back: the work was not tried to its end and nothing is wrong with it.
_SPARED = frozenset({Ending.SNOOZED, Ending.HANDED_BACK})
_BLOCKED_BY = {Ending.RETRY: "retry", Ending.SNOOZED: "schedule"}

Effect: TypeAlias = Callable[[Session], None]


class Outcome(msgspec.Struct, frozen=True):
    """The end of one attempt, with all that is committed together with it.

    :param seconds: how long the work took, or is charged for.
    :param delay_seconds: for a retry or a snooze, how long the job waits.
    :param run_after: for a snooze, the moment until which it waits, in place of the delay.
    :param result: JSON text, within its limit.
    :param error: JSON text of `{type, message, retryable, attempt}`.
    :param traceback: for the dead letter.
    :param follow_ups: jobs of the same user that begin their life with this commit.
    :param effects: further writes of this attempt, run in the same transaction.
    """

    job_id: str
    user_id: str
    claim_no: int
    attempt: int
    ending: Ending
    seconds: float = 0.0
    ahead: bool = False
    delay_seconds: float | None = None
    run_after: str | None = None
    result: str | None = None
    error: str | None = None
    reason: str | None = None
    traceback: str | None = None
    fingerprint: str | None = None
    follow_ups: Sequence[admission.Submission] = ()
    effects: Sequence[Effect] = ()

    @property
    def is_final(self) -> bool:
        """Whether the job ends with this attempt."""
        return _STATUS[self.ending] in FINAL


def claim(
    session: Session,
    worker_id: str,
    messages: Sequence[tuple[str, int]],
    *,
    ahead: Collection[tuple[str, int]] = (),
) -> dict[tuple[str, int], Taken]:
    """Claim the jobs that messages name, where the message is the last one sent and its slot still stands.

    :param messages: job id and dispatch number of each.
    :param ahead: those of them for which no thread is free yet: of these only jobs that may be claimed ahead.
    :returns: the claims, by message; a message that is not among them is a duplicate, an old one or not to be claimed ahead.
    """
    if not messages:
        return {}
    rows_of = [(job_id, dispatch_no, (job_id, dispatch_no) in ahead) for job_id, dispatch_no in messages]
    batch = Batch(session, "b", {"id": "uuid", "dispatch_no": "int", "ahead": "boolean"}, rows_of)
    rows = transitions.move(
        session,
        f"""UPDATE jobs SET status = 'processing', worker_id = :worker, attempt = jobs.attempt + 1, claim_no = jobs.claim_no + 1,
            seq = jobs.seq + 1, started_at = :now, progress_percent = 0, progress_note = NULL
        FROM {batch.sql} WHERE jobs.id = b.id AND jobs.dispatch_no = b.dispatch_no
        AND {word("jobs.status")} = 'queued' AND {flag("jobs.slot")} = 1
        AND (NOT b.ahead OR (jobs.rescues = 0 AND jobs.max_attempts - jobs.attempt >= 2))
        AND EXISTS (SELECT 1 FROM workers w WHERE w.id = :worker AND w.dead_at IS NULL)""",
        RETURNED,
        batch=batch,
        # No lock to come after: a message's job was let go by everybody before the message was sent.
        step=transitions.Step(Status.QUEUED),
        worker=worker_id,
    )
    claims = {(taken.id, taken.dispatch_no): taken for taken in map(taken_from, rows)}
    for message in claims.keys() & set(ahead):
        claims[message] = msgspec.structs.replace(claims[message], ahead=True)
    change = Change()
    for taken in claims.values():
        change.moved(taken.run_id, taken.run_group, Status.QUEUED, Status.PROCESSING)
    change.write(session)
    return claims


_OUTCOME = {
    "id": "uuid",
    "claim_no": "int",
    "status": "text",
    "blocked_by": "text",
    "delay": "float8",
    "run_after": "timestamptz",
    "spared": "int",
    "seconds": "float8",
    "ahead": "boolean",
    "result": "text",
    "error": "text",
    "attempt_no": "int",
    "reason": "text",
}


def finish(session: Session, worker_id: str, outcomes: Sequence[Outcome], users: LockedUsers) -> set[str]:
    """Write the outcomes of attempts whose users' rows are locked, each behind its fence.

    An outcome that the fence refuses writes nothing but the release of the slot that its attempt may still hold.

    :returns: the ids of the jobs whose outcome was written.
    """
    now = users.now
    by_claim: dict[tuple[str, int], Outcome] = {}
    for outcome in outcomes:
        by_claim.setdefault((outcome.job_id, outcome.claim_no), outcome)  # the first outcome of a claim is the one that counts
    batch = Batch(session, "b", _OUTCOME, [_row(outcome) for outcome in by_claim.values()])
    rows = transitions.move(
        session,
        f"""UPDATE jobs SET status = b.status, slot = false, seq = jobs.seq + 1, attempt = jobs.attempt - b.spared,
            blocked_by = b.blocked_by,
            run_after = CASE WHEN b.blocked_by IS NULL THEN jobs.run_after
                ELSE coalesce(b.run_after, moment_after(:now, b.delay)) END,
            result = b.result, error = coalesce(b.error, CASE WHEN b.status = 'queued' THEN jobs.error END),
            started_at = CASE WHEN b.ahead THEN moment_after(:now, -b.seconds) ELSE jobs.started_at END,
            finished_at = CASE WHEN b.status <> 'queued' THEN :now END,
            progress_percent = CASE WHEN b.status = 'completed' THEN 100 ELSE jobs.progress_percent END
        FROM {batch.sql} WHERE jobs.id = b.id AND jobs.claim_no = b.claim_no AND jobs.worker_id = :worker
        AND {word("jobs.status")} = 'processing' AND {flag("jobs.slot")} = 1""",
        "jobs.id, jobs.claim_no, jobs.user_id, jobs.slot_limit, jobs.charge, jobs.blocked_by, jobs.run_id, jobs.run_group",
        batch=batch,
        step=transitions.Step(Status.PROCESSING, now, is_told=True),
        worker=worker_id,
    )
    change = Change()
    done: list[Outcome] = []
    run_of: dict[str, str] = {}
    for job_id, claim_no, user_id, limit, charge, blocked_by, run_id, group in rows:
        outcome, user = by_claim.pop((str(job_id), claim_no)), str(user_id)
        done.append(outcome)
        change.held(user, -1, limit)
        change.clock(user, outcome.seconds / users.rows[user].weight - charge)
        if run_id is not None:
            change.moved(run_id, group, Status.PROCESSING, _STATUS[outcome.ending])
            run_of[outcome.job_id] = str(run_id)
        if _STATUS[outcome.ending] in FINAL:
            change.unfinished(user, -1)
        elif blocked_by is None:
            change.ready(user, 1)
    if by_claim:
        _release(session, list(by_claim.values()), users, change)
    change.write(session)
    dead_letters.bury(session, [o for o in done if o.ending is Ending.FAILED], now=now)
    _follow_up(session, done, run_of)
    for outcome in done:
        for effect in outcome.effects:
            effect(session)
    return {outcome.job_id for outcome in done}


def refused(outcome: Outcome, error: Exception) -> Outcome:
    """Turn an outcome that the database does not take into a failure that says so."""
    message = f"what this attempt wanted to store was refused: {type(error).__name__}"
    stored = {"type": RESULT_REFUSED, "message": message, "retryable": False, "attempt": outcome.attempt}
    return msgspec.structs.replace(
        outcome,
        ending=Ending.FAILED,
        delay_seconds=None,
        run_after=None,
        result=None,
        error=msgspec.json.encode(stored).decode(),
        reason=RESULT_REFUSED,
        traceback=None,
        fingerprint=dead_letters.fingerprint_of(RESULT_REFUSED, type(error).__name__),
        follow_ups=(),
        effects=(),
    )


def _row(outcome: Outcome) -> tuple[Any, ...]:
    waits = _BLOCKED_BY.get(outcome.ending)
    if outcome.run_after is None and not outcome.delay_seconds:
        waits = None
    return (
        outcome.job_id,
        outcome.claim_no,
        str(_STATUS[outcome.ending]),
        waits,
        outcome.delay_seconds,
        outcome.run_after,
        int(outcome.ending in _SPARED),
        outcome.seconds,
        outcome.ahead,
        outcome.result,
        outcome.error,
        outcome.attempt,
        outcome.reason or _reason(outcome),
    )


def _reason(outcome: Outcome) -> str | None:
    return None if outcome.ending in {Ending.COMPLETED, Ending.FAILED} else str(outcome.ending)


def _release(session: Session, refused: Sequence[Outcome], users: LockedUsers, change: Change) -> None:
    """Give back the slots that attempts hold after their job has moved on, as a cancelled one's does."""
    claims = {(outcome.job_id, outcome.claim_no): outcome.seconds for outcome in refused}
    batch = Batch(session, "b", {"id": "uuid", "claim_no": "int"}, list(claims))
    rows = run(
        session,
        f"""UPDATE jobs SET slot = false FROM {batch.sql} WHERE jobs.id = b.id AND jobs.claim_no = b.claim_no
        AND {flag("jobs.slot")} = 1 AND {word("jobs.status")} IN ('completed', 'failed', 'cancelled')
        RETURNING jobs.id, jobs.claim_no, jobs.user_id, jobs.slot_limit, jobs.charge""",
        **batch.parameters,
    )
    for job_id, claim_no, user_id, limit, charge in rows:
        user = str(user_id)
        change.held(user, -1, limit)
        change.clock(user, claims[str(job_id), claim_no] / users.rows[user].weight - charge)


def _follow_up(session: Session, done: Sequence[Outcome], run_of: Mapping[str, str]) -> None:
    """Admit follow-ups, to the run of the job that they follow; a run that was cancelled meanwhile takes none."""
    leading = [outcome for outcome in done if outcome.follow_ups]
    over = runs.cancelled(session, {run_of[o.job_id] for o in leading if o.job_id in run_of})
    units = [
        admission.Unit(outcome.user_id, list(outcome.follow_ups), at_the_door=False, run_id=run_of.get(outcome.job_id))
        for outcome in leading
        if run_of.get(outcome.job_id) not in over
    ]
    if units:
        for answer in admission.submit(session, units):
            if isinstance(answer, Exception):
                raise answer


def hand_back_unknown(session: Session, *, worker_id: str, claims: Sequence[tuple[str, int]]) -> set[str]:
    """Hand back claims that the database says a worker holds and that the worker does not know of.

    The reply to a commit may be lost: the claim stands, and nobody works on it.

    :param claims: job id and claim number of each.
    :returns: the ids of the jobs that went back to their lanes.
    """
    batch = Batch(session, "b", {"id": "uuid", "claim_no": "int"}, claims)
    rows = run(
        session,
        f"""SELECT j.id, j.user_id, j.claim_no, j.attempt FROM {batch.sql} JOIN jobs j ON j.id = b.id
        AND j.claim_no = b.claim_no WHERE j.worker_id = :worker AND j.slot = true""",
        worker=worker_id,
        **batch.parameters,
    ).all()
    outcomes = [
        Outcome(str(job_id), str(user_id), claim_no, attempt, Ending.HANDED_BACK, reason="claim unknown to its worker")
        for job_id, user_id, claim_no, attempt in rows
    ]
    if not outcomes:
        return set()
    users = lock_users(session, {outcome.user_id for outcome in outcomes})
    return finish(session, worker_id, outcomes, users)
