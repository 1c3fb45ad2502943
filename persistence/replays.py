"""Replays: a job that failed for good goes back to its lane with new attempts, once for each of its dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from persistence import counters, transitions
from persistence.admission import RETRY_AFTER_SECONDS
from persistence.batches import run
from persistence.dead_letters import DeadLetter, get
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError
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
    :raises IllegalTransitionError: the job is not failed any more, or failed again since.
    """
    letter = get(session, letter_id=letter_id, user_id=user_id)
    users = counters.lock_users(session, [letter.user_id])
    marked = run(
        session,
        "UPDATE dead_letters SET replayed_at = :now WHERE id = :id AND replayed_at IS NULL RETURNING id",
        now=users.now,
        id=letter_id,
    ).first()
    if marked is None:
        return letter.job_id
    user = users.rows[letter.user_id]
    if user.unfinished >= user.max_active:
        raise ConcurrentJobLimitError(limit=user.max_active, retry_after=RETRY_AFTER_SECONDS)
    if not _requeue(session, letter, payload):
        raise IllegalTransitionError("the job of this dead letter is not failed any more")
    _count(session, [letter], users)
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
    letters = matching(session, user_id=user_id, type=type, fingerprint=fingerprint, before=before, after=after)
    if not letters:
        return Replayed([], 0, None)
    users = counters.lock_users(session, {letter.user_id for letter in letters})
    replayed: list[DeadLetter] = []
    refused = 0
    for letter in letters:
        user = users.rows[letter.user_id]
        if user.unfinished >= user.max_active:
            refused += 1
            continue
        marked = run(
            session,
            """UPDATE dead_letters SET replayed_at = :now WHERE id = :id AND replayed_at IS NULL
            AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = dead_letters.job_id AND j.status = 'failed'
                AND j.claim_no = dead_letters.claim_no) RETURNING id""",
            now=users.now,
            id=letter.id,
        ).first()
        if marked is not None and _requeue(session, letter, None):
            user.unfinished += 1
            replayed.append(letter)
    _count(session, replayed, users)
    return Replayed([letter.job_id for letter in replayed], refused, letters[-1].id)


def matching(
    session: Session,
    *,
    user_id: str | None,
    type: str | None = None,
    fingerprint: str | None = None,
    before: datetime | None = None,
    after: str | None = None,
    limit: int = CHUNK,
) -> Sequence[DeadLetter]:
    """List dead letters that were not replayed, oldest first."""
    statement = select(DeadLetter).where(col(DeadLetter.replayed_at).is_(None)).order_by(col(DeadLetter.id)).limit(limit)
    conditions = {
        DeadLetter.user_id: user_id,
        DeadLetter.type: type,
        DeadLetter.fingerprint: fingerprint,
    }
    for column, value in conditions.items():
        if value is not None:
            statement = statement.where(col(column) == value)
    if before is not None:
        statement = statement.where(col(DeadLetter.died_at) < before)
    if after is not None:
        statement = statement.where(col(DeadLetter.id) > after)
    return session.scalars(statement).all()


def _requeue(session: Session, letter: DeadLetter, payload: str | None) -> bool:
    row = run(
        session,
        """UPDATE jobs SET status = 'queued', attempt = 0, rescues = 0, resends = 0, seq = seq + 1, blocked_by = NULL,
            run_after = NULL, dispatched_at = NULL, started_at = NULL, finished_at = NULL, worker_id = NULL, result = NULL,
            error = NULL, progress_percent = 0, progress_note = NULL, payload = coalesce(:payload, payload)
        WHERE id = :id AND claim_no = :claim_no AND status = 'failed' AND NOT slot RETURNING id""",
        id=letter.job_id,
        claim_no=letter.claim_no,
        payload=payload,
    ).first()
    return row is not None


def _count(session: Session, letters: Sequence[DeadLetter], users: counters.LockedUsers) -> None:
    change = counters.Change()
    for letter in letters:
        change.unfinished(letter.user_id, 1)
        change.ready(letter.user_id, 1)
    change.write(session)
    jobs = [letter.job_id for letter in letters]
    transitions.record(session, jobs, before=Status.FAILED, now=users.now, reason="replayed")
