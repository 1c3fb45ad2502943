"""Cancellation: final at once; a slot that an attempt still holds stays with it until it has really ended."""

from collections import defaultdict
from collections.abc import Sequence

from sqlmodel import Session

from persistence import counters, transitions
from persistence.batches import among, many
from persistence.errors import JobFinishedError, NotFoundError
from persistence.statements import run
from persistence.states import FINAL, Status

# So many jobs a transaction: their users stay locked as long as it lasts.
CHUNK = 500


def cancel(session: Session, *, job_id: str, user_id: str | None) -> bool:
    """Cancel one job; a cancelled one stays as it is.

    :param user_id: whose job it must be; None for anybody's.
    :returns: whether this call did it.
    :raises NotFoundError: there is no such job.
    :raises JobFinishedError: it has completed or failed.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    if cancel_many(session, job_ids=[job_id], user_id=user_id):
        return True
    row = run(session, f"SELECT status FROM jobs WHERE id = :id {mine}", id=job_id, **owner).first()
    if row is None:
        raise NotFoundError
    if row.status in FINAL and row.status != Status.CANCELLED:
        raise JobFinishedError(status=row.status)
    return False


def cancel_many(
    session: Session, *, job_ids: Sequence[str], user_id: str | None, reason: str = "cancelled by request"
) -> list[str]:
    """Cancel those of the jobs that have not finished; give at most `CHUNK` of them to one transaction.

    :param user_id: whose jobs they must be; None for anybody's.
    :param reason: what the audit trail says.
    :returns: the ids of the jobs that this call cancelled.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    owners = run(
        session,
        f"""SELECT DISTINCT user_id FROM jobs WHERE id {among(session, "ids")} {mine}
        AND status IN ('queued', 'processing')""",
        ids=many(session, job_ids),
        **owner,
    ).all()
    if not owners:
        return []
    users = counters.lock_users(session, [str(row.user_id) for row in owners])
    # The rows are locked and read in a statement of their own: RETURNING knows only what they have become.
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR UPDATE"
    rows = run(
        session,
        f"""SELECT id, user_id, status, slot, slot_limit, charge, blocked_by, run_id, run_group FROM jobs
        WHERE id {among(session, "ids")} {mine} AND status IN ('queued', 'processing') ORDER BY id {lock}""",
        ids=many(session, job_ids),
        **owner,
    ).all()
    before = {str(row.id): row for row in rows}
    cancelled = run(
        session,
        f"""UPDATE jobs SET status = 'cancelled', finished_at = :now, seq = seq + 1, blocked_by = NULL,
            slot = (slot AND status = 'processing')
        WHERE id {among(session, "ids")} AND status IN ('queued', 'processing') RETURNING id""",
        ids=many(session, list(before)),
        now=users.now,
    ).all()
    change = counters.Change()
    moved: defaultdict[Status, list[str]] = defaultdict(list)
    for (id_,) in cancelled:
        job = before[str(id_)]
        user = str(job.user_id)
        moved[Status(job.status)].append(str(id_))
        change.unfinished(user, -1)
        change.moved(job.run_id, job.run_group, Status(job.status), Status.CANCELLED)
        if job.status == Status.PROCESSING:
            continue
        if job.slot:
            change.held(user, -1, job.slot_limit)
            change.clock(user, -job.charge)
        elif job.blocked_by is None:
            change.ready(user, -1)
    change.write(session)
    for status, ids in moved.items():
        transitions.record(session, ids, before=status, now=users.now, reason=reason)
    return [job_id for ids in moved.values() for job_id in ids]


def cancel_subject(session: Session, *, subject: str, user_id: str, reason: str) -> int:
    """Cancel up to a chunk of a user's unfinished jobs that are about one thing, such as a book.

    The user is locked before the jobs are looked up: a follow-up that is being committed is seen, or refused later.

    :returns: how many; fewer than `CHUNK` when none is left.
    """
    counters.lock_users(session, [user_id])
    rows = run(
        session,
        f"""SELECT id FROM jobs WHERE subject = :subject AND user_id = :user AND status IN ('queued', 'processing')
        ORDER BY id LIMIT {CHUNK}""",
        subject=subject,
        user=user_id,
    )
    return len(cancel_many(session, job_ids=[str(row.id) for row in rows], user_id=user_id, reason=reason))
