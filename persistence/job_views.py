"""Job views: how a job looks to its caller, with its place in the queue and the reason for which it waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlmodel import Session, col, select

from persistence import files, pauses, positions
from persistence.batches import run
from persistence.errors import NotFoundError
from persistence.files import JobFile
from persistence.jobs import Job
from persistence.states import Status, WaitingFor
from persistence.transitions import Transition
from persistence.users import Tenant, Tier, User


@dataclass(slots=True)
class JobView:
    """A job with what is not in its row.

    :param tenant: the tenant's name.
    :param held: the slots that the job's user holds, `ready` the user's jobs in the lane.
    :param max_running: how many slots the tier allows.
    :param position: 1 + the user's own unfinished jobs ahead of it; None unless it is queued.
    :param waiting_for: why it is not being processed; None unless it is queued.
    """

    job: Job
    tenant: str
    held: int
    ready: int
    max_running: int
    position: int | None = None
    waiting_for: WaitingFor | None = None
    files: list[JobFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job, put together from the transitions that began and ended it.

    :param status: processing, completed, failed, cancelled, snoozed or handed_back.
    :param error: JSON text.
    :param result: JSON text.
    """

    seq: int
    attempt: int
    status: str
    worker: str | None
    error: str | None
    result: str | None
    started_at: datetime
    finished_at: datetime | None


def get(session: Session, *, job_id: str, user_id: str | None) -> JobView:
    """Read one job.

    :param user_id: whose job it must be; None for anybody's.
    :raises NotFoundError: there is no such job.
    """
    views = of(session, job_ids=[job_id], user_id=user_id)
    if not views:
        raise NotFoundError
    return views[0]


def of_admitted(session: Session, *, job_id: str, position: int) -> JobView:
    """Read a job that was admitted a moment ago, whose position is known and which has no files yet.

    :raises NotFoundError: there is no such job.
    """
    for row in session.exec(_viewed().where(Job.id == job_id)):
        view = JobView(*row)
        view.position = position
        if view.job.status == Status.QUEUED:
            view.waiting_for = _reason(view, *_closed(session))
        return view
    raise NotFoundError


def status(session: Session, *, job_id: str, user_id: str | None) -> Status:
    """Read how a job stands and nothing else.

    :param user_id: whose job it must be; None for anybody's.
    :raises NotFoundError: there is no such job.
    """
    statement = select(Job.status).where(Job.id == job_id)
    if user_id is not None:
        statement = statement.where(Job.user_id == user_id)
    found = session.scalars(statement).one_or_none()
    if found is None:
        raise NotFoundError
    return Status(found)


def of(session: Session, *, job_ids: Sequence[str], user_id: str | None) -> list[JobView]:
    """Read several jobs, newest first; those that are missing or somebody else's are left out."""
    statement = _viewed().where(col(Job.id).in_(job_ids)).order_by(col(Job.id).desc())
    if user_id is not None:
        statement = statement.where(Job.user_id == user_id)
    views = [JobView(*row) for row in session.exec(statement)]
    attached = files.of_jobs(session, job_ids=[view.job.id for view in views])
    for view in views:
        view.files = attached.get(view.job.id, [])
    _explain(session, [view for view in views if view.job.status == Status.QUEUED])
    return views


def history(session: Session, *, job_id: str, user_id: str | None, after: int = 0, limit: int | None = None) -> list[Transition]:
    """List a job's transitions in their order.

    :param after: the `seq` after which to begin.
    :raises NotFoundError: there is no such job.
    """
    _require(session, job_id, user_id)
    statement = (
        select(Transition).where(Transition.job_id == job_id, Transition.seq > after).order_by(col(Transition.seq)).limit(limit)
    )
    return list(session.scalars(statement))


def attempts(session: Session, *, job_id: str, user_id: str | None, after: int = 0, limit: int | None = None) -> list[Attempt]:
    """List a job's attempts in their order.

    :param after: the `seq` of the attempt after which to begin.
    :raises NotFoundError: there is no such job.
    """
    job = _require(session, job_id, user_id)
    mine = select(Transition).where(Transition.job_id == job_id, Transition.seq > after).order_by(col(Transition.seq))
    begun = list(session.scalars(mine.where(Transition.to_status == Status.PROCESSING).limit(limit)))
    ended = {
        step.seq - 1: step
        for step in session.scalars(
            select(Transition).where(Transition.job_id == job_id, col(Transition.seq).in_([step.seq + 1 for step in begun]))
        )
    }
    return [_attempt(job, begin, ended.get(begin.seq)) for begin in begun]


def _attempt(job: Job, begin: Transition, end: Transition | None) -> Attempt:
    is_last = begin.claim_no == job.claim_no
    status = end.to_status if end else begin.to_status
    if status == Status.QUEUED:
        # A snooze or a hand-back at shutdown is nobody's failure; a retry and a lost worker are.
        status = end.reason if end and end.reason in {"snoozed", "handed_back"} else Status.FAILED
    return Attempt(
        seq=begin.seq,
        attempt=begin.attempt,
        status=str(status),
        worker=begin.worker_id,
        error=end.error if end else None,
        result=job.result if is_last and status == Status.COMPLETED else None,
        # What was claimed ahead of a free thread started later than it was claimed.
        started_at=job.started_at if is_last and job.started_at else begin.at,
        finished_at=end.at if end else None,
    )


def _require(session: Session, job_id: str, user_id: str | None) -> Job:
    statement = select(Job).where(Job.id == job_id)
    if user_id is not None:
        statement = statement.where(Job.user_id == user_id)
    job = session.scalars(statement).one_or_none()
    if job is None:
        raise NotFoundError
    return job


def _viewed() -> Any:
    return (
        select(Job, Tenant.name, User.held, User.ready, Tier.max_running)
        .join(User, col(User.id) == Job.user_id)
        .join(Tenant, col(Tenant.id) == User.tenant_id)
        .join(Tier, col(Tier.name) == User.tier)
    )


def _closed(session: Session) -> tuple[list[pauses.Scope], dict[str, bool]]:
    """Read what is paused, and of each type limit whether it is full."""
    limits = run(session, "SELECT name, held, max_held FROM type_limits")
    return pauses.active(session), {name: held >= most for name, held, most in limits}


def _explain(session: Session, queued: Sequence[JobView]) -> None:
    """Fill in the position of queued jobs and what they wait for."""
    if not queued:
        return
    closed, limits = _closed(session)
    ahead = positions.ahead(session, [view.job for view in queued], {view.job.user_id: view.ready for view in queued})
    for view in queued:
        job = view.job
        # What it holds itself is not ahead of it.
        view.position = 1 + max(0, view.held - 1) if job.slot else 1 + view.held + ahead[job.id]
        view.waiting_for = _reason(view, closed, limits)


def _reason(view: JobView, closed: Sequence[pauses.Scope], limits: Mapping[str, bool]) -> WaitingFor:
    job = view.job
    if job.blocked_by is not None:
        return WaitingFor(job.blocked_by)
    if any(scope.covers(type=job.type, user_id=job.user_id, queue=job.queue) for scope in closed):
        return WaitingFor.PAUSED
    if job.slot:
        return WaitingFor.WORKER
    if view.held >= view.max_running:
        return WaitingFor.USER_LIMIT
    # The longest pattern that matches a type is its limit; here by name whether it is full.
    matching = [name for name in limits if fnmatchcase(job.type, name)]
    return WaitingFor.TYPE_LIMIT if matching and limits[max(matching, key=len)] else WaitingFor.WORKER
