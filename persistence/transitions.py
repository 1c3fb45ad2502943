"""The audit trail: one row for each change of a job's status, written in the transaction that made it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel

from persistence import tables
from persistence.batches import Batch, among, many, run
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
