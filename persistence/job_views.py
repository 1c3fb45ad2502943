"""Job views: how a job looks to its caller, with its place in the queue and the reason for which it waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import bindparam, exists
from sqlmodel import Session, col, select

from persistence import files, pauses, positions
from persistence.errors import NotFoundError
from persistence.files import JobFile
from persistence.jobs import Job
from persistence.statements import run
from persistence.states import Status, WaitingFor
from persistence.transitions import Transition
from persistence.users import Tenant, Tier, User
from persistence.workers import Pause, TypeLimit


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
    statement, owner = (_ONE, {}) if user_id is None else (_OWN, {"user": user_id})
    row = session.exec(statement, params={"job": job_id, **owner}).one_or_none()
    if row is None:
        raise NotFoundError
    (view,) = _completed(session, [row])
    return view


def of_admitted(session: Session, *, job_id: str, position: int) -> JobView:
    """Read a job that was admitted a moment ago, whose position is known.

    :raises NotFoundError: there is no such job.
    """
    row = session.exec(_ONE, params={"job": job_id}).one_or_none()
    if row is None:
        raise NotFoundError
    (view,) = _completed(session, [row], {job_id: position})
    view.position = position
    return view


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
    statement, owner = (_SEVERAL, {}) if user_id is None else (_OWN_SEVERAL, {"user": user_id})
    return _completed(session, session.exec(statement, params={"jobs": job_ids, **owner}).all())


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


# Put together once, for that takes SQLAlchemy longer than the database needs to answer. The flags save three questions
# whose answer is nearly always that there is nothing.
_ALL: Any = (
    select(  # type: ignore[call-overload]
        Job,
        Tenant.name,
        User.held,
        User.ready,
        Tier.max_running,
        exists().where(col(JobFile.job_id) == Job.id),
        exists(select(Pause.type)),
        exists().where(col(TypeLimit.held) >= TypeLimit.max_held),
    )
    .join(User, col(User.id) == Job.user_id)
    .join(Tenant, col(Tenant.id) == User.tenant_id)
    .join(Tier, col(Tier.name) == User.tier)
)
_MINE = col(Job.user_id) == bindparam("user")
_ONE = _ALL.where(Job.id == bindparam("job"))
_OWN = _ONE.where(_MINE)
_SEVERAL = _ALL.where(col(Job.id).in_(bindparam("jobs", expanding=True))).order_by(col(Job.id).desc())
_OWN_SEVERAL = _SEVERAL.where(_MINE)


def _completed(session: Session, rows: Sequence[Any], placed: Mapping[str, int] | None = None) -> list[JobView]:
    """Add to the rows what is not in them.

    :param placed: positions that are known, where they are.
    """
    views = [JobView(*row[:5]) for row in rows]
    with_files = [row[0].id for row in rows if row[5]]
    attached = files.of_jobs(session, job_ids=with_files)
    queued = [view for view in views if view.job.status == Status.QUEUED]
    if not queued and not with_files:
        return views
    closed = pauses.in_force(session) if queued and (rows[0][6] or any(view.job.run_id for view in queued)) else []
    limits: dict[str, bool] = {}
    if queued and rows[0][7]:
        found = run(session, "SELECT name, held, max_held FROM type_limits")
        limits = {name: held >= most for name, held, most in found}
    ready = {view.job.user_id: view.ready for view in queued}
    ahead = positions.ahead(session, [view.job for view in queued], ready) if placed is None else {}
    for view in views:
        view.files = attached.get(view.job.id, [])
    for view in queued:
        job = view.job
        if placed is not None:
            view.position = placed[job.id]
        else:
            # What it holds itself is not ahead of it.
            view.position = 1 + max(0, view.held - 1) if job.slot else 1 + view.held + ahead[job.id]
        view.waiting_for = _reason(view, closed, limits)
    return views


def _reason(view: JobView, closed: Sequence[pauses.Scope], limits: Mapping[str, bool]) -> WaitingFor:
    job = view.job
    if job.blocked_by is not None:
        return WaitingFor(job.blocked_by)
    if any(scope.covers(type=job.type, user_id=job.user_id, queue=job.queue, run_id=job.run_id) for scope in closed):
        return WaitingFor.PAUSED
    if job.slot:
        return WaitingFor.WORKER
    if view.held >= view.max_running:
        return WaitingFor.USER_LIMIT
    # The longest pattern that matches a type is its limit; here by name whether it is full.
    matching = [name for name in limits if fnmatchcase(job.type, name)]
    return WaitingFor.TYPE_LIMIT if matching and limits[max(matching, key=len)] else WaitingFor.WORKER
