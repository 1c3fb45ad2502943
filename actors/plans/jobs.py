"""The job type of plans: turns the goals of an approved plan into its tasks, which are written with the job's completion."""

from typing import Annotated, Literal

import msgspec

from actors.answers import Model, NoAnswerError, model_of
from actors.job import Backoff, JobContext, job
from actors.plans.goals import tasks_of
from middleware.text import storable
from persistence import plans
from persistence.database import Session
from persistence.plans import NewTask

_MOST_TASKS = 500
_ORDERS = """\
You turn the goals of a plan into tasks that one person can do, each with a title in the imperative and a sentence of details.
Every goal gets at least one task. Reply with JSON of this shape, where "goal" is the number of the goal and "after" lists the
numbers of earlier tasks that have to be done first, the first task being number 1:
{"tasks": [{"goal": 1, "title": "Do something", "details": "what that means", "after": []}]}"""

Goal = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=2_000)]
Goals = Annotated[list[Goal], msgspec.Meta(min_length=1, max_length=50)]
Title = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=200)]


class PlanRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A plan's title and its goals."""

    title: Title
    goals: Goals


class PlannedTasks(msgspec.Struct, kw_only=True):
    """The tasks in their order; `by` says who made them, and `reason` why rules did although a model was asked."""

    tasks: list[NewTask]
    by: Literal["rules", "model"]
    reason: str | None = None


class _Task(msgspec.Struct):
    goal: int
    title: Title
    details: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    after: Annotated[list[int], msgspec.Meta(max_length=100)] = []


class _Reply(msgspec.Struct):
    tasks: Annotated[list[_Task], msgspec.Meta(min_length=1, max_length=_MOST_TASKS)]


@job(
    plans.CREATE_TASKS,
    payload=PlanRequest,
    result=PlannedTasks,
    time_limit_seconds=120,
    retry=Backoff(1, 5, 30),
    max_attempts=4,
)
def create_tasks(job: JobContext, request: PlanRequest) -> PlannedTasks:
    """Turn the goals of an approved plan into tasks."""
    job.progress(5, f"{len(request.goals)} goals")
    made = _made(request, model_of(job))
    job.check()
    plan_id, job_id = job.subject, job.id
    if plan_id is not None:
        # With the completion or not at all; a plan that was approved anew meanwhile, or deleted, takes nothing.
        job.commit_with(lambda session: _write(session, plan_id, job_id, made))
    return made


def _made(request: PlanRequest, model: Model | None) -> PlannedTasks:
    reason = None
    if model is not None:
        try:
            return PlannedTasks(tasks=_asked(model, request), by="model")
        except NoAnswerError as error:
            reason = str(error)
    return PlannedTasks(tasks=tasks_of(request.goals), by="rules", reason=reason)


def _asked(model: Model, request: PlanRequest) -> list[NewTask]:
    material = "\n".join([request.title, *(f"Goal {number}: {goal}" for number, goal in enumerate(request.goals, 1))])
    reply = model.ask(_ORDERS, material, _Reply, check=lambda answer: _wrong(answer, len(request.goals)))
    return [
        NewTask(number=number, goal=task.goal, title=storable(task.title), details=storable(task.details), after=task.after)
        for number, task in enumerate(reply.tasks, 1)
    ]


def _wrong(reply: _Reply, goals: int) -> str | None:
    if {task.goal for task in reply.tasks} != set(range(1, goals + 1)):
        return "the tasks in the model's reply do not belong to the goals one to one"
    if any(not 0 < before < number for number, task in enumerate(reply.tasks, 1) for before in task.after):
        return "a task in the model's reply comes after one that does not come before it"
    return None


def _write(session: Session, plan_id: str, job_id: str, made: PlannedTasks) -> None:
    plans.complete(session, plan_id=plan_id, job_id=job_id, tasks=made.tasks, by=made.by)
