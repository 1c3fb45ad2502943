"""The job: what was asked, by whom, and how it stands; with its tags and the jobs that it depends on."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Text, text
from sqlmodel import Field, SQLModel

from persistence import tables
from persistence.columns import Id
from persistence.states import STORED_REASONS, Status

LOWEST_PRIORITY, DEFAULT_PRIORITY, HIGHEST_PRIORITY = 0, 5, 10

# Each partial index serves one question of dispatch or sweep; the words must be those of the statements that ask.
IN_LANE = "status = 'queued' AND blocked_by IS NULL AND NOT slot"
NOT_DUE = "status = 'queued' AND blocked_by IN ('schedule', 'retry')"
DISPATCHED = "status = 'queued' AND slot"
PARKED = "status = 'queued' AND blocked_by = 'paused'"
OF_RUN = "run_id IS NOT NULL"
FRESH = "finished_at IS NOT NULL AND archived_at IS NULL"
EXPIRING = "finished_at IS NOT NULL AND run_id IS NULL"
DEPENDANT = "status = 'queued' AND blocked_by = 'dependency'"


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    condition = text(where)
    expressions = [text(column) for column in columns]
    return Index(name, *expressions, unique=unique, postgresql_where=condition, sqlite_where=condition)


class Job(SQLModel, table=True):
    """A durable row for one piece of work.

    `slot` is the flag of the slot that the job holds and `slot_limit` the type limit that was taken with it; `blocked_by`
    is what keeps a queued job out of its lane; `charge` is what its user's clock was advanced by when the slot was taken;
    `run_group` is the number of its run's counters by tags, for a job of a run that has any;
    `archived_at` is since when counts pass a finished job by, and says nothing of one that is not finished.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        tables.one_of("status", Status, name="status"),
        tables.one_of("blocked_by", STORED_REASONS, name="blocked_by"),
        CheckConstraint("priority BETWEEN 0 AND 10", name="priority"),
        CheckConstraint("attempt >= 0 AND claim_no >= 0 AND dispatch_no >= 0", name="counts"),
        CheckConstraint("(finished_at IS NULL) = (status IN ('queued', 'processing'))", name="finished_when_final"),
        _partial("ix_jobs_lane", "user_id", "priority DESC", "id", where=IN_LANE),
        _partial("ix_jobs_due", "run_after", where=NOT_DUE),
        _partial("ix_jobs_dispatched", "dispatched_at", where=DISPATCHED),
        _partial("ix_jobs_dependants", "id", where=DEPENDANT),
        _partial("ix_jobs_slots", "worker_id", where="slot"),
        _partial("ix_jobs_subject", "subject", where="subject IS NOT NULL"),
        _partial("ix_jobs_fresh", "finished_at", where=FRESH),
        _partial("ix_jobs_expiring", "finished_at", where=EXPIRING),
        _partial("ix_jobs_parked", "run_id", where=PARKED),
        _partial("ix_jobs_run", "run_id", "id", where=OF_RUN),
        _partial("ix_jobs_run_finished", "run_id", "finished_at", where=f"{OF_RUN} AND finished_at IS NOT NULL"),
        _partial(
            "uq_jobs_idempotency_key",
            "user_id",
            "idempotency_key",
            where="idempotency_key IS NOT NULL",
            unique=True,
        ),
        Index("ix_jobs_user_status", "user_id", "status", "id"),
        Index("ix_jobs_type", "type", "user_id", "id"),
        {"postgresql_with": {"fillfactor": 70}},
    )
    id: str = tables.id_key()
    # No foreign key: users are never deleted, and its check would lock the row that every dispatch contends for.
    user_id: str = tables.id_column()
    type: str = Field(max_length=200)
    queue: str = Field(max_length=100)
    status: str = Field(max_length=20)
    blocked_by: str | None = Field(default=None, max_length=20)
    priority: int = DEFAULT_PRIORITY
    payload: str = tables.json_text(nullable=False)
    result: str | None = tables.json_text()
    error: str | None = tables.json_text()
    tags: str | None = tables.json_text()
    progress_percent: float = 0.0
    progress_note: str | None = Field(default=None, sa_column=Column(Text))
    attempt: int = 0
    max_attempts: int
    rescues: int = 0
    claim_no: int = 0
    dispatch_no: int = 0
    resends: int = 0
    seq: int = 1
    slot: bool = False
    slot_limit: str | None = Field(default=None, max_length=200)
    charge: float = 0.0
    run_after: datetime | None = tables.instant()
    created_at: datetime = tables.instant(nullable=False)
    dispatched_at: datetime | None = tables.instant()
    started_at: datetime | None = tables.instant()
    finished_at: datetime | None = tables.instant()
    worker_id: str | None = tables.id_column(nullable=True)
    subject: str | None = tables.id_column(nullable=True)
    idempotency_key: str | None = Field(default=None, max_length=255)
    request_hash: str | None = Field(default=None, max_length=64)
    # No foreign key: its check would lock the run's row for each job, and runs go after their jobs anyway.
    run_id: str | None = tables.id_column(nullable=True)
    run_group: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    archived_at: datetime | None = tables.instant()


class Tag(SQLModel, table=True):
    """A word that a caller put on a job, kept apart so that a list by tag is one look into an index."""

    __tablename__ = "tags"
    user_id: str = Field(sa_column=Column(Id, primary_key=True))
    tag: str = Field(primary_key=True, max_length=100)
    # Its index is for the end of a job: without it each deleted job would cost a look at all tags.
    job_id: str = Field(sa_column=Column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True))


class Dependency(SQLModel, table=True):
    """One job that waits for another one to complete."""

    __tablename__ = "dependencies"
    job_id: str = Field(sa_column=Column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True))
    parent_id: str = Field(sa_column=Column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True))
