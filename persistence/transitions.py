"""The audit trail: one row for each change of a job's status, written in the transaction that made it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel

from persistence import tables
from persistence.batches import Batch, among, many
from persistence.database import now as database_now
from persistence.statements import run
from persistence.states import Status

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class Transition(SQLModel, table=True):
    """One step of one job.

    `seq` counts a job's steps from 1 without a gap. `xid` is the number of the writing transaction: a reader that
    follows all jobs goes in its order and stops before the oldest transaction that still runs, so that no late commit is missed
    (on SQLite, where one transaction writes at a time, it stays 0 and `id` is the order).
    """

    __tablename__ = "transitions"
    __table_args__ = (
        tables.one_of("to_status", Status, name="to_status"),
        UniqueConstraint("job_id", "seq"),
        Index("ix_transitions_order", "xid", "id"),
    )
    id: int = Field(default=None, sa_column=Column(_NUMBER, Identity(), primary_key=True))
    xid: int = Field(
        default=0,
        # The migration makes this the transaction's number on PostgreSQL.
        sa_column=Column(_NUMBER, nullable=False, server_default=text("0")),
    )
    job_id: str = tables.id_column()
    user_id: str = tables.id_column()
    seq: int
    from_status: str | None = Field(default=None, max_length=20)
    to_status: str = Field(max_length=20)
    attempt: int
    claim_no: int
    at: datetime = tables.instant(nullable=False)
    worker_id: str | None = tables.id_column(nullable=True)
    reason: str | None = Field(default=None, max_length=500)
    error: str | None = tables.json_text()


def record(session: Session, job_ids: Sequence[str], *, before: Status, now: Any, reason: str | None = None) -> None:
    """Write one transition for each job that this transaction has just moved, from the row as it stands now.

    :param before: the status that all of them had.
    :param reason: why, in a few words, where it was not a worker's ordinary doing.
    """
    if not job_ids:
        return
    run(
        session,
        f"""INSERT INTO transitions (job_id, user_id, seq, from_status, to_status, attempt, claim_no, at, worker_id, reason)
        SELECT j.id, j.user_id, j.seq, CAST(:before AS varchar), j.status, j.attempt, j.claim_no, :now, j.worker_id,
            CAST(:reason AS varchar)
        FROM jobs j WHERE j.id {among(session, "ids")}""",
        ids=many(session, job_ids),
        before=str(before),
        now=now,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What the transitions of a batch have in common.

    :param before: the status that all jobs had.
    :param now: the moment; None for the one at which the statement runs, where nothing was locked that it has to come after.
    :param is_told: whether the batch says of each transition its `attempt_no`, `reason` and `error`.
    """

    before: Status
    now: Any = None
    is_told: bool = False


_MOVED = "job_id, user_id, seq, to_status, claim_no, worker_id, attempt, reason, error"


def move(session: Session, update: str, returned: str, *, batch: Batch, step: Step, **parameters: Any) -> Sequence[Any]:
    """Run an UPDATE of jobs that moves them from one status, and record a transition of each job that it moved.

    :param update: the statement without its RETURNING; the moment is `:now` in it.
    :param returned: the columns of `jobs` to return, `jobs.id` the first of them.
    :param batch: the batch `b` that the statement joins.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    if is_sqlite and step.now is None:
        step = replace(step, now=database_now(session))
    parameters |= {"now": step.now, **batch.parameters}
    if is_sqlite:
        rows: Sequence[Any] = run(session, f"{update} RETURNING {returned}", **parameters).all()
        _record_moved(session, [row[0] for row in rows], batch, step)
        return rows
    told = "b.attempt_no, b.reason, b.error" if step.is_told else "jobs.attempt, NULL::text, NULL::text"
    names = ", ".join(column.strip().removeprefix("jobs.") for column in returned.split(","))
    steps = ", ".join(f"step_{column.strip()}" for column in _MOVED.split(","))
    clock, at = "", "CAST(:now AS timestamptz)"
    if step.now is None:
        clock, at = "clock AS MATERIALIZED (SELECT clock_timestamp() AS now), ", "(SELECT now FROM clock)"
        update = update.replace(":now", at)
    # One statement for both: a batch costs one round trip, and the rows are not looked up again.
    moved = run(
        session,
        f"""WITH {clock}moved ({names}, {steps}) AS ({update} RETURNING {returned},
            jobs.id, jobs.user_id, jobs.seq, jobs.status, jobs.claim_no, jobs.worker_id, {told}),
        trail AS (INSERT INTO transitions ({_MOVED}, from_status, at)
            SELECT {steps}, CAST(:before AS varchar), {at} FROM moved)
        SELECT {names} FROM moved""",
        before=str(step.before),
        **parameters,
    ).all()
    return list(moved)


def _record_moved(session: Session, job_ids: Sequence[str], batch: Batch, step: Step) -> None:
    if not step.is_told:
        record(session, job_ids, before=step.before, now=step.now)
    elif job_ids:
        run(
            session,
            # CROSS is how SQLite is told to begin with the batch.
            f"""INSERT INTO transitions ({_MOVED}, from_status, at)
            SELECT j.id, j.user_id, j.seq, j.status, j.claim_no, j.worker_id, b.attempt_no, b.reason, b.error, :before, :now
            FROM {batch.sql} CROSS JOIN jobs j ON j.id = b.id WHERE b.id {among(session, "ids")}""",
            ids=many(session, job_ids),
            before=str(step.before),
            now=step.now,
            **batch.parameters,
        )


def record_outcomes(session: Session, steps: Sequence[tuple[str, str, int, str | None, str | None]], *, now: Any) -> None:
    """Write the transitions that end attempts.

    :param steps: for each job its id, the status before, the attempt's number, the reason and the error as JSON text.
    """
    if not steps:
        return
    columns = {"id": "uuid", "before": "text", "attempt": "int", "reason": "text", "error": "text"}
    batch = Batch(session, "b", columns, steps)
    run(
        session,
        f"""INSERT INTO transitions
            (job_id, user_id, seq, from_status, to_status, attempt, claim_no, at, worker_id, reason, error)
        SELECT j.id, j.user_id, j.seq, b.before, j.status, b.attempt, j.claim_no, :now, j.worker_id, b.reason, b.error
        FROM {batch.sql} JOIN jobs j ON j.id = b.id""",
        now=now,
        **batch.parameters,
    )
