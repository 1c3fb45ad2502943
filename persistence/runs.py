"""Runs: named groups of one user's jobs, whose counters are stored and whose status is read off them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Text, literal_column, text
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.batches import among, many
from persistence.columns import Id
from persistence.database import as_instant
from persistence.errors import NotFoundError
from persistence.ids import new_id
from persistence.jobs import Job
from persistence.pages import Piece, bytes_of, fitting, newest
from persistence.statements import run
from persistence.states import FINAL, Status

COUNTED = tuple(str(status) for status in Status)
# What keeps a run's jobs from starting; the words must be those of the statement that asks.
HELD_BACK = "paused_at IS NOT NULL AND finished_at IS NULL AND cancelled_at IS NULL"
UNSETTLED = "cancelled_at IS NOT NULL AND finished_at IS NULL"
OVER = "finished_at IS NOT NULL"
DELETED = "deleted_at IS NOT NULL"


class RunStatus(StrEnum):
    """How a run stands; never stored."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class OnFailure(StrEnum):
    """What becomes of the jobs that wait for one that has failed: they fail, too, or are cancelled, or go on without it."""

    FAIL = "fail"
    CANCEL = "cancel"
    CONTINUE = "continue"


def _partial(name: str, column: str, where: str) -> Index:
    return Index(name, column, postgresql_where=text(where), sqlite_where=text(where))


class Run(SQLModel, table=True):
    """A named group of jobs.

    Its counters change only in the transaction of the transition that explains them, by what that statement returned;
    `deleted_at` is when its retention was over, from when on its jobs are deleted piece by piece.
    """

    __tablename__ = "runs"
    __table_args__ = (
        tables.one_of("on_failure", OnFailure, name="on_failure"),
        CheckConstraint(" AND ".join(f"{status} >= 0" for status in COUNTED), name="counts_not_negative"),
        CheckConstraint(f"total = {' + '.join(COUNTED)}", name="counts_add_up"),
        CheckConstraint("(finished_at IS NULL) = (queued + processing > 0)", name="finished_when_over"),
        Index("ix_runs_user", "user_id", "id"),
        _partial("ix_runs_held_back", "id", HELD_BACK),
        _partial("ix_runs_unsettled", "id", UNSETTLED),
        _partial("ix_runs_over", "finished_at", OVER),
        _partial("ix_runs_deleted", "id", DELETED),
        # Room for the new versions of a row that each turn of a ledger rewrites.
        {"postgresql_with": {"fillfactor": 50}},
    )
    id: str = tables.id_key()
    user_id: str = tables.id_column()
    name: str = Field(max_length=200)
    on_failure: str = Field(default=OnFailure.CANCEL, max_length=20)
    config: str | None = tables.json_text()
    total: int = 0
    queued: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    created_at: datetime = tables.instant(nullable=False)
    started_at: datetime | None = tables.instant()
    paused_at: datetime | None = tables.instant()
    finished_at: datetime | None = tables.instant()
    cancelled_at: datetime | None = tables.instant()
    deleted_at: datetime | None = tables.instant()

    @property
    def status(self) -> RunStatus:
        """How it stands."""
        if self.cancelled_at is not None:
            return RunStatus.CANCELLED
        if not self.queued + self.processing:
            return RunStatus.COMPLETED
        if self.paused_at is not None:
            return RunStatus.PAUSED
        return RunStatus.PENDING if self.started_at is None else RunStatus.RUNNING

    @property
    def counts(self) -> dict[str, int]:
        """How many of its jobs stand how."""
        return {status: getattr(self, status) for status in COUNTED}


class RunGroup(SQLModel, table=True):
    """The counters of those jobs of a run that have the same tags, so that progress by any tag is a sum of few rows."""

    __tablename__ = "run_groups"
    __table_args__ = (
        CheckConstraint(" AND ".join(f"{status} >= 0" for status in COUNTED), name="counts_not_negative"),
        {"postgresql_with": {"fillfactor": 50}},
    )
    run_id: str = Field(sa_column=Column(Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    tags: str = Field(sa_column=Column(Text, nullable=False))
    queued: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


# A run with one of its groups. Each group's row has the whole run: thousands of groups would bring as many copies of a config, so
# one row has it at most.
_WITH_GROUP = ", ".join(
    [
        *(
            "CASE WHEN row_number() OVER () = :config_row THEN config END AS config" if name == "config" else f"runs.{name}"
            for name in Run.model_fields
        ),
        "g.tags",
        *(f"g.{status} AS group_{status}" for status in COUNTED),
    ]
)
_LITERAL = str.maketrans({character: f"/{character}" for character in "/%_"})
_INSTANTS = [name for name in Run.model_fields if name.endswith("_at")]


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as its caller asks for it, already validated; its jobs are admitted with it.

    :param config: JSON text, kept as a snapshot and never read.
    """

    name: str
    on_failure: OnFailure = OnFailure.CANCEL
    config: str | None = None
    id: str = field(default_factory=new_id)


def get(session: Session, *, run_id: str, user_id: str | None) -> Run:
    """Read one run.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such run.
    """
    statement = select(Run).where(Run.id == run_id, col(Run.deleted_at).is_(None))
    if user_id is not None:
        statement = statement.where(Run.user_id == user_id)
    found = session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFoundError
    return found


def cancelled(session: Session, ids: Collection[str]) -> set[str]:
    """Tell which of some runs take nothing new; whoever has locked their users knows it for sure."""
    if not ids:
        return set()
    closed = "cancelled_at IS NOT NULL OR deleted_at IS NOT NULL"
    rows = run(session, f"SELECT id FROM runs WHERE id {among(session, 'ids')} AND ({closed})", ids=many(session, sorted(ids)))
    return {str(row.id) for row in rows}


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Piece[Run]:
    """List runs, newest first; a page of large configs ends before its limit.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    size = bytes_of(session, "runs.config")
    return newest(session, Run, col(Run.deleted_at).is_(None), size=size, user_id=user_id, before=before, limit=limit)


def by_tag(
    session: Session, *, run_id: str, user_id: str | None = None, key: str | None = None, with_config: bool = True
) -> tuple[Run, dict[str, dict[str, int]]]:
    """Read a run and count its jobs by tag and status, both as they stand at one moment.

    :param user_id: whose run it must be; None for anybody's.
    :param key: count only tags of the form `KEY:VALUE`, by their values; None counts whole tags.
    :param with_config: without it the run looks as if it had none.
    :raises NotFoundError: there is no such run.
    """
    which = "g.run_id = runs.id"
    given: dict[str, Any] = {"id": run_id, "config_row": int(with_config)}
    if key is not None:
        which += " AND g.tags LIKE :tagged ESCAPE '/'"
        given["tagged"] = f"%{key.translate(_LITERAL)}:%"
    # One statement, for two would see two moments.
    sql = f"SELECT {_WITH_GROUP} FROM runs LEFT JOIN run_groups g ON {which} WHERE runs.id = :id AND runs.deleted_at IS NULL"
    rows = run(session, sql, **given)
    if not rows or user_id not in (None, rows[0].user_id):
        raise NotFoundError
    values = dict(zip(Run.model_fields, rows[0], strict=False))
    read = Run(**values | {name: as_instant(values[name]) for name in _INSTANTS})
    read.config = next((row.config for row in rows if row.config is not None), None)
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        for tag in [] if row.tags is None else row.tags.split("\n"):
            name = tag if key is None else tag.removeprefix(f"{key}:")
            if key is not None and name == tag:
                continue
            counts = found.setdefault(name, dict.fromkeys(COUNTED, 0))
            for status in COUNTED:
                counts[status] += getattr(row, f"group_{status}")
    return read, dict(sorted(found.items()))


def percent(counts: Mapping[str, int]) -> float:
    """Say how much of a group of jobs is over, in percent with one place; 100 only when all of it is."""
    total = sum(counts.values())
    over = sum(counts[str(status)] for status in FINAL)
    return 100.0 if over == total else min(99.9, round(100 * over / total, 1))


def last_finished(session: Session, *, run_id: str, limit: int) -> list[str]:
    """List the ids of the jobs of a run that finished last, the last one first; of large jobs fewer, as many as fit on a page."""
    size = bytes_of(session, "jobs.payload", "jobs.result", "jobs.error")
    statement: Any = (
        select(Job.id, literal_column(size).label("size"))
        .where(Job.run_id == run_id, col(Job.finished_at).is_not(None))
        .order_by(col(Job.finished_at).desc(), col(Job.id).desc())
        .limit(limit)
    )
    return fitting(session.exec(statement).all(), limit)[0]
