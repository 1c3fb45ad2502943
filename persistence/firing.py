"""Firing: schedules whose moment has come admit their job, each moment once, however many processes look."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlmodel import Session

from persistence import admission, counters
from persistence.admission import Admitted, Submission, Unit
from persistence.batches import among, many
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.errors import ConcurrentJobLimitError, ValidationError
from persistence.moments import next_moment, passed
from persistence.schedules import ACTIVE, Missed
from persistence.statements import run

# A moment that is older than this when somebody looks has been missed.
GRACE_SECONDS = 60.0
# Of the missed moments of a schedule that makes up for all, so many at the most.
MOST_AT_ONCE = 100
# While its user's tier has no room, a schedule is looked at again after so long.
_AGAIN_SECONDS = 5.0
_CHUNK = 50

log = structlog.get_logger(__name__)


def fire(session: Session) -> int:
    """Admit the jobs of up to a chunk of the schedules that are due; those of users that are locked elsewhere follow later.

    The schedule moves on in the transaction that admits its job, and both happen behind the lock of its user's row; the
    job's id follows from the schedule and the moment, so that even then no moment could fire twice.

    :returns: how many jobs were admitted.
    """
    due = f"{ACTIVE} AND due_at <= :now"
    waiting = run(
        session,
        f"SELECT id, user_id FROM schedules WHERE {due} ORDER BY due_at LIMIT {_CHUNK}",
        now=database_now(session),
    ).all()
    if not waiting:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in waiting}, skip_locked=True)
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR NO KEY UPDATE OF s"
    rows = run(
        session,
        f"""SELECT s.id, s.user_id, s.type, s.queue, s.payload, s.priority, s.max_attempts, s.tags, s.cron, s.timezone,
            s.missed_policy, s.next_at, u.disabled_at
        FROM schedules s JOIN users u ON u.id = s.user_id WHERE s.id {among(session, "ids")} AND s.{due} ORDER BY s.id {lock}""",
        ids=many(session, [str(row.id) for row in waiting if str(row.user_id) in users.rows]),
        now=users.now,
    ).all()
    full: set[str] = set()
    fired = sum(_fire_one(session, row, users, full) for row in rows if str(row.user_id) not in full)
    if full:
        # All that their users have waits together, so that thousands of schedules are not tried one by one.
        run(
            session,
            f"UPDATE schedules SET due_at = moment_after(:now, :again) WHERE user_id {among(session, 'users')} AND {due}",
            users=many(session, sorted(full)),
            now=users.now,
            again=_AGAIN_SECONDS,
        )
    return fired


def job_id_of(schedule_id: str, moment: datetime) -> str:
    """Give the id of the job of a schedule's moment: a UUIDv7 with the time of the moment."""
    milliseconds = int(moment.timestamp() * 1000)
    digest = hashlib.sha256(f"{schedule_id} {milliseconds}".encode()).digest()
    raw = bytearray(milliseconds.to_bytes(6) + digest[:10])
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(raw)))


def _fire_one(session: Session, row: Any, users: counters.LockedUsers, full: set[str]) -> int:
    now, first = as_instant(users.now), as_instant(row.next_at)
    assert now is not None  # noqa: S101 - a clock always answers
    assert first is not None  # noqa: S101 - the column is not null
    try:
        moments, missed = _to_fire(row, first, now)
        following = next_moment(row.cron, row.timezone, after=now)
    except ValidationError as error:
        # Its zone has gone with an update, or its last moment has passed.
        log.warning("schedule.ended", schedule=str(row.id), reason=error.message)
        run(session, "UPDATE schedules SET paused_at = :now WHERE id = :id", id=str(row.id), now=users.now)
        return 0
    made: list[datetime] = []
    for moment in moments:
        if row.disabled_at is not None or not _admit(session, row, moment):
            break
        made.append(moment)
    left = moments[len(made) :]
    if left:
        full.add(str(row.user_id))
    run(
        session,
        """UPDATE schedules SET next_at = :next, due_at = :due, fired = fired + :fired, missed = missed + :missed,
            last_at = coalesce(:last, last_at), last_job_id = coalesce(:job, last_job_id) WHERE id = :id""",
        id=str(row.id),
        next=_text(left[0] if left else following),
        due=_text(now + timedelta(seconds=_AGAIN_SECONDS) if left else following),
        fired=len(made),
        missed=missed,
        last=_text(made[-1]) if made else None,
        job=job_id_of(str(row.id), made[-1]) if made else None,
    )
    return len(made)


def _to_fire(row: Any, first: datetime, now: datetime) -> tuple[Sequence[datetime], int]:
    """Say which moments fire now, and how many have been missed for good."""
    most = MOST_AT_ONCE if row.missed_policy == Missed.ALL else 1
    moments, missed = passed(row.cron, row.timezone, first=first, now=now, most=most)
    if row.missed_policy == Missed.SKIP and (now - moments[-1]).total_seconds() > GRACE_SECONDS:
        return [], missed + len(moments)
    return moments, missed


def _admit(session: Session, row: Any, moment: datetime) -> bool:
    submission = Submission(
        row.type,
        row.queue,
        row.payload,
        row.max_attempts,
        row.priority,
        tags=tuple(row.tags.split("\n")) if row.tags else (),
        id=job_id_of(str(row.id), moment),
    )
    (answer,) = admission.submit(session, [Unit(str(row.user_id), [submission])], repeated=True)
    if isinstance(answer, ConcurrentJobLimitError):
        return False
    if not isinstance(answer, Admitted):
        raise answer
    return True


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
