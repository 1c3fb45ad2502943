"""Plans: goals, and the tasks that they are turned into when the plan is approved; how one stands is read off its job."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Text
from sqlalchemy.orm import load_only
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.columns import Id
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.jobs import Job
from persistence.pages import Piece, bytes_of, newest
from persistence.statements import run
from persistence.states import FINAL

CREATE_TASKS = "plans.create_tasks"


class PlanStatus(StrEnum):
    """How a plan stands: not approved, approved and its job at work, its tasks there, or its job failed or cancelled."""

    DRAFT = "draft"
    PROCESSING = "processing"
    READY = "ready"
    ERROR = "error"


class Plan(SQLModel, table=True):
    """A plan; `job_id` is the job that its latest approval has made, `made_by` says whether rules or a model made the tasks."""

    __tablename__ = "plans"
    __table_args__ = (Index("ix_plans_user", "user_id", "id"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    title: str = Field(max_length=200)
    goals: str = tables.json_text(nullable=False)
    job_id: str | None = tables.id_column(nullable=True)
    made_by: str | None = Field(default=None, max_length=20)
    created_at: datetime = tables.instant(nullable=False)
    approved_at: datetime | None = tables.instant()
    completed_at: datetime | None = tables.instant()


class PlanTask(SQLModel, table=True):
    """One task of a plan; `goal` is the number of its goal, `follows` lists the tasks to be done first."""

    __tablename__ = "plan_tasks"
    __table_args__ = (CheckConstraint("number > 0 AND goal > 0", name="numbers"),)
    plan_id: str = Field(sa_column=Column(Id, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    goal: int
    title: str = Field(max_length=200)
    details: str = Field(sa_column=Column(Text, nullable=False))
    follows: str = tables.json_text(nullable=False)


class NewTask(msgspec.Struct, kw_only=True):
    """A task, counted from 1 in its plan; `goal` is the number of the goal that it serves, `after` what has to be done first."""

    number: int
    goal: int
    title: str
    details: str
    after: list[int]


@dataclass(slots=True)
class PlanView:
    """A plan with its tasks and with the job of its approval, if that is still there."""

    plan: Plan
    tasks: list[PlanTask]
    job: Job | None

    @property
    def status(self) -> PlanStatus:
        """How it stands."""
        if self.plan.completed_at is not None:
            return PlanStatus.READY
        if self.plan.job_id is None:
            return PlanStatus.DRAFT
        return PlanStatus.PROCESSING if self.job is not None and self.job.status not in FINAL else PlanStatus.ERROR


def create(session: Session, *, plan_id: str, user_id: str, title: str, goals: Sequence[str]) -> None:
    """Enter a plan as a draft."""
    run(
        session,
        "INSERT INTO plans (id, user_id, title, goals, created_at) VALUES (:id, :user, :title, :goals, :now)",
        id=plan_id,
        user=user_id,
        title=title,
        goals=msgspec.json.encode(goals).decode(),
        now=database_now(session),
    )


def get(session: Session, *, plan_id: str, user_id: str | None) -> PlanView:
    """Read one plan.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such plan.
    """
    statement = select(Plan).where(Plan.id == plan_id)
    if user_id is not None:
        statement = statement.where(Plan.user_id == user_id)
    found = session.scalars(statement).one_or_none()
    if found is None:
        raise NotFoundError
    return _viewed(session, [found])[0]


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Piece[PlanView]:
    """List plans, newest first; a page of large goals and tasks ends before its limit.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    of_tasks = bytes_of(session, "t.title", "t.details", "t.follows")
    size = f"""{bytes_of(session, "plans.goals")}
        + (SELECT coalesce(sum({of_tasks}), 0) FROM plan_tasks t WHERE t.plan_id = plans.id)"""
    found = newest(session, Plan, size=size, user_id=user_id, before=before, limit=limit)
    return Piece(_viewed(session, found), ends_at=found.ends_at)


def approve(session: Session, *, plan_id: str, user_id: str, job_id: str, instead_of: str | None) -> bool:
    """Note the job that an approval has made, in the transaction that admits it.

    :param instead_of: the job of the approval before, which has failed; None for none. Of two approvals at the same moment the
        second one finds another job there.
    :returns: whether it is this job that counts.
    """
    before = "job_id IS NULL" if instead_of is None else "job_id = :before"
    row = run(
        session,
        f"""UPDATE plans SET job_id = :job, approved_at = :now
        WHERE id = :id AND user_id = :user AND completed_at IS NULL AND {before} RETURNING id""",
        id=plan_id,
        user=user_id,
        job=job_id,
        now=database_now(session),
        **({} if instead_of is None else {"before": instead_of}),
    ).first()
    return row is not None


def complete(session: Session, *, plan_id: str, job_id: str | None, tasks: Sequence[NewTask], by: str) -> bool:
    """Write the tasks of a plan, once, whoever makes them.

    :param job_id: the job that has made them, which must be that of the plan's latest approval; None for a plan without one.
    :returns: whether they were written: not if the plan has tasks already, was approved anew or is gone.
    """
    made_for = "job_id IS NULL" if job_id is None else "job_id = :job"
    row = run(
        session,
        f"""UPDATE plans SET completed_at = :now, approved_at = coalesce(approved_at, :now), made_by = :by
        WHERE id = :id AND completed_at IS NULL AND {made_for} RETURNING id""",
        id=plan_id,
        now=database_now(session),
        by=by,
        **({} if job_id is None else {"job": job_id}),
    ).first()
    if row is None:
        return False
    for task in tasks:
        run(
            session,
            """INSERT INTO plan_tasks (plan_id, number, goal, title, details, follows)
            VALUES (:plan, :number, :goal, :title, :details, :follows)""",
            plan=plan_id,
            number=task.number,
            goal=task.goal,
            title=task.title,
            details=task.details,
            follows=msgspec.json.encode(task.after).decode(),
        )
    return True


def delete(session: Session, *, plan_id: str, user_id: str | None) -> str:
    """Throw a plan away with its tasks.

    :param user_id: whose it must be; None for anybody's.
    :returns: the id of the user whose it was.
    :raises NotFoundError: there is no such plan.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    owner: dict[str, Any] = {} if user_id is None else {"user": user_id}
    row = run(session, f"DELETE FROM plans WHERE id = :id {mine} RETURNING user_id", id=plan_id, **owner).first()
    if row is None:
        raise NotFoundError
    return str(row.user_id)


def job_of(session: Session, *, job_id: str, user_id: str | None) -> Job:
    """Find a job that makes tasks.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such job.
    """
    statement = select(Job).where(Job.id == job_id, Job.type == CREATE_TASKS)
    if user_id is not None:
        statement = statement.where(Job.user_id == user_id)
    job = session.scalars(statement).one_or_none()
    if job is None:
        raise NotFoundError
    return job


def _viewed(session: Session, plans: Sequence[Plan]) -> list[PlanView]:
    if not plans:
        return []
    tasks: defaultdict[str, list[PlanTask]] = defaultdict(list)
    ids = [plan.id for plan in plans]
    for task in session.scalars(select(PlanTask).where(col(PlanTask.plan_id).in_(ids)).order_by(col(PlanTask.number))):
        tasks[task.plan_id].append(task)
    # A job's payload has the goals once more, and its result the tasks.
    statement = select(Job).options(load_only(Job.status, Job.error, raiseload=True))  # type: ignore[arg-type]
    made = session.scalars(statement.where(col(Job.id).in_([plan.job_id for plan in plans if plan.job_id])))
    jobs = {job.id: job for job in made}
    return [PlanView(plan, tasks[plan.id], jobs.get(plan.job_id or "")) for plan in plans]
