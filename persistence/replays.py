"""Replays: a job that failed for good goes back to its lane with new attempts, once for each of its dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, TextClause, func, text
from sqlmodel import Session, col, select

from persistence import counters, transitions
from persistence.admission import RETRY_AFTER_SECONDS
from persistence.batches import Batch, among, many
from persistence.dead_letters import DeadLetter, get
from persistence.dependencies import UNFINISHED_PARENT
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError
from persistence.statements import run
from persistence.states import Status

# So many replays a transaction: their users stay locked as long as it lasts.
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a bulk of dead letters.

    :param jobs: the ids of the jobs that went back.
    :param refused: how many stayed because their user's tier has no room for more unfinished jobs.
    :param last: the id of the last dead letter that was looked at; None when there was none.
    """

    jobs: list[str]
    refused: int
    last: str | None


def replay(session: Session, *, letter_id: str, user_id: str | None, payload: str | None = None) -> str:
    """Send the job of a dead letter back to its lane; a letter that was replayed before changes nothing.

    :param user_id: whose letter it must be; None for anybody's.
    :param payload: JSON text to take the place of the job's payload, validated.
    :returns: the job's id.
    :raises NotFoundError: there is no such dead letter.
    :raises ConcurrentJobLimitError: the user's tier has no room for one more unfinished job.
    :raises IllegalTransitionError: the job is not failed any more, or failed again since, or its run was cancelled.
    """
    letter = get(session, letter_id=letter_id, user_id=user_id)
    users = counters.lock_users(session, [letter.user_id])
    marked = run(
        session,
        "UPDATE dead_letters SET replayed_at = :now WHERE id = :id AND replayed_at IS NULL AND deleted_at IS NULL RETURNING id",
        now=users.now,
        id=letter_id,
    ).first()
    if marked is None:
        return letter.job_id
    user = users.rows[letter.user_id]
    if user.unfinished >= user.max_active:
        raise ConcurrentJobLimitError(limit=user.max_active, retry_after=RETRY_AFTER_SECONDS)
    if not _requeue(session, [letter], users, payload):
        raise IllegalTransitionError("the job of this dead letter is not failed any more, or its run was cancelled")
    return letter.job_id


def replay_many(
    session: Session,
    *,
    user_id: str | None,
    type: str | None = None,
    fingerprint: str | None = None,
    before: datetime | None = None,
    after: str | None = None,
) -> Replayed:
    """Replay up to a chunk of the dead letters that were not replayed yet, oldest first, as far as there is room.

    :param before: only those that died before this moment.
    :param after: the last id of the chunk before.
    """
    statement = select(DeadLetter).where(*_conditions(user_id, type, fingerprint, before))
    if after is not None:
        statement = statement.where(col(DeadLetter.id) > after)
    letters = session.scalars(statement.order_by(col(DeadLetter.id)).limit(CHUNK)).all()
    if not letters:
        return Replayed([], 0, None)
    users = counters.lock_users(session, {letter.user_id for letter in letters})
    chosen: list[DeadLetter] = []
    for letter in letters:
        user = users.rows[letter.user_id]
        if user.unfinished < user.max_active:
            user.unfinished += 1
            chosen.append(letter)
    marked = run(
        session,
        f"""UPDATE dead_letters SET replayed_at = :now WHERE id {among(session, "ids")} AND replayed_at IS NULL
        AND deleted_at IS NULL
        AND {_REPLAYABLE} RETURNING id""",
        now=users.now,
        ids=many(session, [letter.id for letter in chosen]),
    )
    ids = {str(row.id) for row in marked}
    replayed = _requeue(session, [letter for letter in chosen if letter.id in ids], users)
    return Replayed([letter.job_id for letter in replayed], len(letters) - len(chosen), letters[-1].id)


def count(
    session: Session,
    *,
    user_id: str | None,
    type: str | None = None,
    fingerprint: str | None = None,
    before: datetime | None = None,
) -> int:
    """Count the dead letters whose jobs can be replayed."""
    conditions = _conditions(user_id, type, fingerprint, before)
    return session.scalars(select(func.count()).select_from(DeadLetter).where(*conditions)).one()


# A letter of an earlier claim is history: its job failed again since, and has a newer letter.
_REPLAYABLE = """EXISTS (SELECT 1 FROM jobs j WHERE j.id = dead_letters.job_id AND j.status = 'failed' AND NOT j.slot
    AND j.claim_no = dead_letters.claim_no AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = j.run_id
        AND (r.cancelled_at IS NOT NULL OR r.deleted_at IS NOT NULL)))"""


def _conditions(
    user_id: str | None, type: str | None, fingerprint: str | None, before: datetime | None
) -> list[ColumnElement[bool] | TextClause]:
    equal = {DeadLetter.user_id: user_id, DeadLetter.type: type, DeadLetter.fingerprint: fingerprint}
    conditions: list[ColumnElement[bool] | TextClause] = [text(f"replayed_at IS NULL AND deleted_at IS NULL AND {_REPLAYABLE}")]
    conditions += [col(column) == value for column, value in equal.items() if value is not None]
    if before is not None:
        conditions.append(col(DeadLetter.died_at) < before)
    return conditions


def _requeue(
    session: Session, letters: Sequence[DeadLetter], users: counters.LockedUsers, payload: str | None = None
) -> list[DeadLetter]:
    """Send jobs back to their lanes, or to wait for a parent that failed with them; a cancelled run's stay where they are."""
    batch = Batch(session, "b", {"id": "uuid", "claim_no": "int"}, [(letter.job_id, letter.claim_no) for letter in letters])
    rows = run(
        session,
        f"""UPDATE jobs SET status = 'queued', attempt = 0, rescues = 0, resends = 0, seq = jobs.seq + 1,
            blocked_by = CASE WHEN {UNFINISHED_PARENT} THEN 'dependency' END,
            run_after = NULL, dispatched_at = NULL, started_at = NULL, finished_at = NULL, archived_at = NULL, worker_id = NULL,
            result = NULL, error = NULL, progress_percent = 0, progress_note = NULL, payload = coalesce(:payload, jobs.payload)
        FROM {batch.sql} WHERE jobs.id = b.id AND jobs.claim_no = b.claim_no AND jobs.status = 'failed' AND NOT jobs.slot
        AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run_id
            AND (r.cancelled_at IS NOT NULL OR r.deleted_at IS NOT NULL))
        RETURNING jobs.id, jobs.user_id, jobs.blocked_by, jobs.run_id, jobs.run_group""",
        payload=payload,
        **batch.parameters,
    )
    change = counters.Change()
    for row in rows:
        user = str(row.user_id)
        change.unfinished(user, 1)
        change.moved(row.run_id, row.run_group, Status.FAILED, Status.QUEUED)
        if row.blocked_by is None:
            change.ready(user, 1)
    moved = {str(row.id) for row in rows}
    change.write(session)
    transitions.record(session, sorted(moved), before=Status.FAILED, now=users.now, reason="replayed")
    return [letter for letter in letters if letter.job_id in moved]
