"""Schedules: which jobs begin at which moments of a calendar, again and again."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlmodel import Field, Session, SQLModel, select

from persistence import tables
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.jobs import DEFAULT_PRIORITY
from persistence.moments import next_moment
from persistence.pages import Piece, bytes_of, newest
from persistence.statements import run

# What is looked at when its moment has come; the words must be those of the statement that asks.
ACTIVE = "paused_at IS NULL"


class Missed(StrEnum):
    """What becomes of moments that nobody was there for: none of them fires, or the last one, or each."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class Schedule(SQLModel, table=True):
    """A job to be admitted at each moment that a cron expression names.

    `next_at` is the moment that fires next, and `due_at` when it is looked at: later than that while its user's tier has no
    room. `fired` counts the jobs it has made and `missed` the moments that passed without one.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        tables.one_of("missed_policy", Missed, name="missed_policy"),
        CheckConstraint("priority BETWEEN 0 AND 10", name="priority"),
        CheckConstraint("fired >= 0 AND missed >= 0", name="counts"),
        Index("ix_schedules_user", "user_id", "id"),
        Index("ix_schedules_due", "due_at", postgresql_where=text(ACTIVE), sqlite_where=text(ACTIVE)),
    )
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    name: str | None = Field(default=None, max_length=200)
    type: str = Field(max_length=200)
    queue: str = Field(max_length=100)
    payload: str = tables.json_text(nullable=False)
    priority: int = DEFAULT_PRIORITY
    max_attempts: int
    tags: str | None = Field(default=None, sa_column=Column(Text))
    cron: str = Field(max_length=200)
    timezone: str = Field(max_length=100)
    missed_policy: str = Field(default=Missed.LAST, max_length=20)
    next_at: datetime = tables.instant(nullable=False)
    due_at: datetime = tables.instant(nullable=False)
    last_at: datetime | None = tables.instant()
    last_job_id: str | None = tables.id_column(nullable=True)
    fired: int = 0
    missed: int = 0
    paused_at: datetime | None = tables.instant()
    created_at: datetime = tables.instant(nullable=False)


def count(session: Session, *, user_id: str) -> int:
    """Count a user's schedules."""
    return int(run(session, "SELECT count(*) FROM schedules WHERE user_id = :user", user=user_id).scalar_one())


def create(session: Session, schedule: Schedule, *, paused: bool = False) -> Schedule:
    """Enter a schedule, whose first moment is the next one from now on.

    :param schedule: validated, without its moments.
    :param paused: whether it rests at first.
    :raises ValidationError: its cron expression or time zone is not valid, or it never fires.
    """
    moment = as_instant(database_now(session))
    assert moment is not None  # noqa: S101 - a clock always answers
    schedule.created_at = moment
    schedule.next_at = schedule.due_at = next_moment(schedule.cron, schedule.timezone, after=moment)
    schedule.paused_at = moment if paused else None
    session.add(schedule)
    session.flush()
    return schedule


def get(session: Session, *, schedule_id: str, user_id: str | None, lock: bool = False) -> Schedule:
    """Read one schedule.

    :param user_id: whose it must be; None for anybody's.
    :param lock: keep it from firing until the transaction ends.
    :raises NotFoundError: there is no such schedule.
    """
    statement = select(Schedule).where(Schedule.id == schedule_id)
    if user_id is not None:
        statement = statement.where(Schedule.user_id == user_id)
    if lock:
        statement = statement.with_for_update()
    found = session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFoundError
    return found


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Piece[Schedule]:
    """List schedules, newest first; a page of large payloads ends before its limit.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    size = bytes_of(session, "schedules.payload")
    return newest(session, Schedule, size=size, user_id=user_id, before=before, limit=limit)


def change(session: Session, *, schedule_id: str, user_id: str | None, paused: bool | None, **fields: Any) -> Schedule:
    """Change a schedule; what has passed while it was paused has not been missed.

    :param paused: whether it rests; None leaves that as it is.
    :param fields: columns and their new values. A new `cron` or `timezone` counts from now.
    :raises NotFoundError: there is no such schedule.
    :raises ValidationError: as for a new one.
    """
    schedule = get(session, schedule_id=schedule_id, user_id=user_id, lock=True)
    moment = as_instant(database_now(session))
    assert moment is not None  # noqa: S101 - a clock always answers
    begins_anew = (paused is False and schedule.paused_at is not None) or not fields.keys().isdisjoint({"cron", "timezone"})
    for name, value in fields.items():
        setattr(schedule, name, value)
    if paused is not None:
        schedule.paused_at = (schedule.paused_at or moment) if paused else None
    if begins_anew:
        schedule.next_at = schedule.due_at = next_moment(schedule.cron, schedule.timezone, after=moment)
    session.flush()
    return schedule


def delete(session: Session, *, schedule_id: str, user_id: str | None) -> None:
    """Throw a schedule away; the jobs that it has made stay.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such schedule.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    if not run(session, f"DELETE FROM schedules WHERE id = :id {mine} RETURNING id", id=schedule_id, **owner):
        raise NotFoundError
