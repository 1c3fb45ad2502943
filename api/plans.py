"""Plans: goals that are approved and then turned into tasks by a job, or at once for those who want to wait."""

from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter

from actors.plans.goals import tasks_of
from actors.plans.jobs import Goals, Title
from actors.registry import Registry
from api.dependencies import Caller
from api.limits import BODY_BYTES, SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, piece
from api.problems import specs
from api.wire import PREFIX, ErrorOut, ProgressOut, error_out, id_of
from persistence import admission, cancellation, plans
from persistence.database import Database
from persistence.errors import IllegalTransitionError, NotFoundError, PayloadTooLargeError, ValidationError
from persistence.ids import new_id
from persistence.plans import PlanStatus, PlanTask, PlanView
from persistence.wakeup import Notifier

_DELETED = "plan deleted"
_RULES = "rules"

Sync = Annotated[
    bool,
    QueryParameter(name="sync", description="Make the tasks at once, by rules, and answer with the plan instead of a job."),
]


class PlanIn(msgspec.Struct, forbid_unknown_fields=True):
    """A plan as its caller asks for it: a title and 1 to 50 goals."""

    title: Title
    goals: Goals


class PlanPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to become of a plan: `approve` is all that there is."""

    action: Literal["approve"] | msgspec.UnsetType = msgspec.UNSET


class TaskOut(msgspec.Struct):
    """A task; `goal` is the number of its goal, counted from 1, and `after` has the numbers of the tasks to be done first."""

    number: int
    goal: int
    title: str
    details: str
    after: list[int]


class PlanOut(msgspec.Struct, kw_only=True):
    """A plan as its caller sees it; `made_by` says whether rules or a model made its tasks."""

    id: str
    title: str
    goals: list[str]
    status: PlanStatus
    job_id: str | None
    tasks: list[TaskOut]
    made_by: str | None
    error: ErrorOut | None
    created_at: datetime
    approved_at: datetime | None
    completed_at: datetime | None


class _OvertakenError(Exception):
    """Another approval of the plan was faster."""


class ApprovedOut(msgspec.Struct):
    """The job that makes the tasks; ask for it at `plans/jobs/{job_id}`."""

    job_id: str


class PlanJobOut(msgspec.Struct, kw_only=True):
    """How the making of a plan's tasks stands."""

    job_id: str
    plan_id: str | None
    status: str
    progress: ProgressOut
    attempt: int
    error: ErrorOut | None
    tasks: list[TaskOut]
    created_at: datetime
    finished_at: datetime | None


@post(
    "/plans",
    sync_to_thread=True,
    status_code=HTTPStatus.CREATED,
    request_max_body_size=BODY_BYTES,
    tags=["plans"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def create_plan(
    *,
    data: JSONBody[PlanIn],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
) -> Response[PlanOut]:
    """Create a plan as a draft."""
    rates.take(caller)
    most = caller.limits.max_payload_bytes
    if (size := len(msgspec.json.encode(data))) > most:
        raise PayloadTooLargeError(f"goals: {size} bytes, and the tier allows {most}", limit=most, field="goals")
    plan_id = new_id()
    with database.write() as session:
        plans.create(session, plan_id=plan_id, user_id=caller.user_id, title=data.title, goals=data.goals)
        made = _seen(plans.get(session, plan_id=plan_id, user_id=caller.user_id))
    return Response(made, headers={"Location": f"{PREFIX}/plans/{plan_id}"})


@get("/plans", sync_to_thread=True, tags=["plans"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_plans(
    caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[PlanOut]:
    """List plans with their tasks, newest first; a page of large plans may end before its limit."""
    before = after(cursor, caller)
    with database.read() as session:
        views = plans.listed(session, user_id=caller.sees, before=before, limit=limit)
    return piece(views, caller=caller, item=_seen)


@get("/plans/{id:str}", sync_to_thread=True, tags=["plans"], responses=specs(HTTPStatus.NOT_FOUND))
def read_plan(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> PlanOut:
    """Read a plan with its tasks."""
    with database.read() as session:
        return _seen(plans.get(session, plan_id=id_of(id), user_id=caller.sees))


@get("/plans/jobs/{job_id:str}", sync_to_thread=True, tags=["plans"], responses=specs(HTTPStatus.NOT_FOUND))
def read_plan_job(job_id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> PlanJobOut:
    """Read how the making of a plan's tasks stands."""
    with database.read() as session:
        job = plans.job_of(session, job_id=id_of(job_id), user_id=caller.sees)
        tasks: list[PlanTask] = []
        if job.subject is not None:
            try:
                view = plans.get(session, plan_id=job.subject, user_id=caller.sees)
            except NotFoundError:  # the plan was deleted; its job is still there
                pass
            else:
                tasks = view.tasks if view.plan.job_id == job.id else []
    return PlanJobOut(
        job_id=job.id,
        plan_id=job.subject,
        status=job.status,
        progress=ProgressOut(job.progress_percent, job.progress_note),
        attempt=job.attempt,
        error=error_out(job.error),
        tasks=[_task(task) for task in tasks],
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


_AT_ONCE = {int(HTTPStatus.OK): ResponseSpec(PlanOut, description="With its tasks", generate_examples=False)}


@patch(
    "/plans/{id:str}",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    tags=["plans"],
    responses=_AT_ONCE
    | specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def approve_plan(
    *,
    id: FromPath[str],
    data: JSONBody[PlanPatch],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    sync: Sync = False,
) -> Response[ApprovedOut] | Response[PlanOut]:
    """Approve a plan: a job makes its tasks. Pressed twice it makes one job; after one that has failed, another one."""
    plan_id = id_of(id)
    view = _view(database, plan_id, caller)
    if data.action is msgspec.UNSET:
        raise ValidationError("action: it has to say what is to be done: approve", field="action")
    rates.take(caller)
    if sync:
        return Response(_completed(database, view, caller), status_code=HTTPStatus.OK)
    while view.status in {PlanStatus.DRAFT, PlanStatus.ERROR}:
        if _admitted(database, registry, view):
            notifier.notify()
        # Whoever was faster, the plan has a job now.
        view = _view(database, plan_id, caller)
    if view.plan.job_id is None:
        raise IllegalTransitionError("the plan was approved with sync=true and no job has made its tasks", status=view.status)
    job_id = view.plan.job_id
    return Response(ApprovedOut(job_id), headers={"Location": f"{PREFIX}/plans/jobs/{job_id}"})


@delete("/plans/{id:str}", sync_to_thread=True, tags=["plans"], responses=specs(HTTPStatus.NOT_FOUND))
def delete_plan(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
) -> None:
    """Throw a plan away with its tasks; a job that is still making them is cancelled."""
    plan_id = id_of(id)
    with database.write() as session:
        owner = plans.delete(session, plan_id=plan_id, user_id=caller.sees)
    with database.write() as session:
        cancellation.cancel_subject(session, subject=plan_id, user_id=owner, reason=_DELETED)
    notifier.notify()


def _view(database: Database, plan_id: str, caller: Caller) -> PlanView:
    with database.read() as session:
        return plans.get(session, plan_id=plan_id, user_id=caller.sees)


def _admitted(database: Database, registry: Registry, view: PlanView) -> bool:
    """Admit the job of an approval together with the note of it on the plan; False if another approval was faster."""
    kind, plan = registry.get(plans.CREATE_TASKS), view.plan
    payload = kind.validate({"title": plan.title, "goals": msgspec.json.decode(plan.goals)})
    asked = admission.Submission(kind.name, kind.queue, payload, kind.max_attempts, subject=plan.id)
    words = {"plan_id": plan.id, "user_id": plan.user_id, "job_id": asked.id}
    with suppress(_OvertakenError), database.write() as session:
        (admitted,) = admission.submit(session, [admission.Unit(plan.user_id, [asked])])
        if isinstance(admitted, Exception):
            raise admitted
        if not plans.approve(session, **words, instead_of=plan.job_id):
            raise _OvertakenError  # nothing of this transaction stays, the job least of all
        return True
    return False


def _completed(database: Database, view: PlanView, caller: Caller) -> PlanOut:
    """Make a plan's tasks here and now, unless it has them."""
    plan = view.plan
    if view.status == PlanStatus.PROCESSING:
        raise IllegalTransitionError("a job is making the plan's tasks already", status=view.status, job_id=plan.job_id)
    if view.status != PlanStatus.READY:
        tasks = tasks_of(msgspec.json.decode(plan.goals, type=list[str]))
        with database.write() as session:
            plans.complete(session, plan_id=plan.id, job_id=plan.job_id, tasks=tasks, by=_RULES)
        view = _view(database, plan.id, caller)
        if view.status != PlanStatus.READY:  # it was approved without sync at the same moment
            raise IllegalTransitionError("a job is making the plan's tasks already", status=view.status)
    return _seen(view)


def _seen(view: PlanView) -> PlanOut:
    plan = view.plan
    return PlanOut(
        id=plan.id,
        title=plan.title,
        goals=msgspec.json.decode(plan.goals, type=list[str]),
        status=view.status,
        job_id=plan.job_id,
        tasks=[_task(task) for task in view.tasks],
        made_by=plan.made_by,
        error=error_out(view.job.error) if view.job is not None and view.status == PlanStatus.ERROR else None,
        created_at=plan.created_at,
        approved_at=plan.approved_at,
        completed_at=plan.completed_at,
    )


def _task(task: PlanTask) -> TaskOut:
    return TaskOut(task.number, task.goal, task.title, task.details, msgspec.json.decode(task.follows, type=list[int]))


ROUTES = [create_plan, list_plans, read_plan, read_plan_job, approve_plan, delete_plan]
