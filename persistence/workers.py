"""Worker processes and their leases, the limits of job types, and what is paused."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Text
from sqlmodel import Field, Session, SQLModel

from persistence import tables
from persistence.database import now as database_now
from persistence.statements import run


class Worker(SQLModel, table=True):
    """A worker process: alive while its beats come, and dead for good once it was declared dead."""

    __tablename__ = "workers"
    id: str = tables.id_key()
    name: str = Field(max_length=200)
    queues: str = Field(sa_column=Column(Text, nullable=False))
    types: str = Field(sa_column=Column(Text, nullable=False))
    threads: int
    beat_no: int = 0
    started_at: datetime = tables.instant(nullable=False)
    beat_at: datetime = tables.instant(nullable=False)
    dead_at: datetime | None = tables.instant()
    stopped_at: datetime | None = tables.instant()


class TypeLimit(SQLModel, table=True):
    """The most attempts that the job types of one pattern (`documents.*`) may have at a time, across all workers."""

    __tablename__ = "type_limits"
    __table_args__ = (CheckConstraint("held >= 0", name="held_not_negative"),)
    name: str = Field(primary_key=True, max_length=200)
    max_held: int
    held: int = 0


class Pause(SQLModel, table=True):
    """A scope in which nothing new starts; an empty word stands for any."""

    __tablename__ = "pauses"
    type: str = Field(default="", primary_key=True, max_length=200)
    user_id: str = Field(default="", primary_key=True, max_length=36)
    queue: str = Field(default="", primary_key=True, max_length=100)
    paused_at: datetime = tables.instant(nullable=False)


def register(session: Session, *, worker_id: str, name: str, queues: Sequence[str], types: Sequence[str], threads: int) -> None:
    """Enter a worker process, alive from now on."""
    run(
        session,
        """INSERT INTO workers (id, name, queues, types, threads, beat_no, started_at, beat_at)
        VALUES (:id, :name, :queues, :types, :threads, 0, :now, :now)""",
        id=worker_id,
        name=name,
        queues="\n".join(sorted(queues)),
        types="\n".join(sorted(types)),
        threads=threads,
        now=database_now(session),
    )


def beat(session: Session, *, worker_id: str) -> bool:
    """Prove that a worker lives.

    :returns: whether it still may; a worker that was declared dead stays dead.
    """
    beaten = run(
        session,
        "UPDATE workers SET beat_no = beat_no + 1, beat_at = :now WHERE id = :id AND dead_at IS NULL RETURNING id",
        id=worker_id,
        now=database_now(session),
    ).first()
    return beaten is not None


def claims_of(session: Session, *, worker_id: str) -> dict[str, tuple[int, str]]:
    """List what a worker holds a slot for: claim number and status by job id."""
    rows = run(session, "SELECT id, claim_no, status FROM jobs WHERE worker_id = :id AND slot", id=worker_id)
    return {str(job_id): (claim_no, status) for job_id, claim_no, status in rows}


def alive(session: Session) -> dict[str, int]:
    """List the workers that are not dead: the number of the last beat by worker id."""
    return {str(row.id): row.beat_no for row in run(session, "SELECT id, beat_no FROM workers WHERE dead_at IS NULL")}


def known_types(session: Session) -> set[str]:
    """Collect the job types that some worker which is not dead performs."""
    rows = run(session, "SELECT types FROM workers WHERE dead_at IS NULL")
    return {name for (types,) in rows for name in types.split("\n") if name}


def declare_dead(session: Session, *, worker_id: str, beat_no: int) -> bool:
    """Declare a worker dead, for good, if it has not beaten since the given number.

    One whose row is locked is passed over: it is beating just now, or was frozen in a beat, and waiting for it would hold up the
    whole sweep.

    :returns: whether this call did it.
    """
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR UPDATE SKIP LOCKED"
    row = run(
        session,
        f"""UPDATE workers SET dead_at = :now WHERE id IN (
            SELECT id FROM workers WHERE id = :id AND beat_no = :beat_no AND dead_at IS NULL {lock}) RETURNING id""",
        id=worker_id,
        beat_no=beat_no,
        now=database_now(session),
    ).first()
    return row is not None


def leave(session: Session, *, worker_id: str) -> None:
    """Note that a worker has ended in good order; what it might still hold is free for rescue at once."""
    run(
        session,
        "UPDATE workers SET dead_at = coalesce(dead_at, :now), stopped_at = :now WHERE id = :id",
        id=worker_id,
        now=database_now(session),
    )


def set_type_limits(session: Session, limits: Mapping[str, int]) -> None:
    """Write the type limits of the settings; a lowered one revokes nothing, one that is gone is lifted."""
    for name, most in sorted(limits.items()):
        run(
            session,
            """INSERT INTO type_limits (name, max_held, held) VALUES (:name, :most, 0)
            ON CONFLICT (name) DO UPDATE SET max_held = excluded.max_held WHERE type_limits.max_held <> excluded.max_held""",
            name=name,
            most=most,
        )
