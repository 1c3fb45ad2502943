"""Dead letters: the record of each job that failed for good."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Index, Text, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.batches import Batch
from persistence.columns import Id
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.ids import new_id
from persistence.pages import Piece, bytes_of, newest
from persistence.statements import run

if TYPE_CHECKING:
    from persistence.attempts import Outcome


class DeadLetter(SQLModel, table=True):
    """A job's last error with all that is needed to understand and to replay it; one for each claim that was the last."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        UniqueConstraint("job_id", "claim_no"),
        Index("ix_dead_letters_user", "user_id", "id"),
        Index("ix_dead_letters_type", "type", "id"),
        Index("ix_dead_letters_fingerprint", "fingerprint", "id"),
    )
    id: str = tables.id_key()
    job_id: str = Field(sa_column=Column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False))
    claim_no: int
    user_id: str = tables.id_column()
    type: str = Field(max_length=200)
    payload: str = tables.json_text(nullable=False)
    error: str = tables.json_text(nullable=False)
    traceback: str | None = Field(default=None, sa_column=Column(Text))
    fingerprint: str = Field(max_length=64)
    attempts: int
    died_at: datetime = tables.instant(nullable=False)
    replayed_at: datetime | None = tables.instant()
    # A row without content stays when a letter is thrown away: a failed job without any row is one that was lost.
    deleted_at: datetime | None = tables.instant()


def bury(session: Session, outcomes: Sequence["Outcome"], *, now: Any) -> None:
    """Write the dead letters of attempts that failed for good."""
    if not outcomes:
        return
    columns = {"id": "uuid", "job_id": "uuid", "claim_no": "int", "traceback": "text", "fingerprint": "text"}
    batch = Batch(
        session,
        "b",
        columns,
        [(new_id(), o.job_id, o.claim_no, o.traceback, o.fingerprint or "") for o in outcomes],
    )
    run(
        session,
        f"""INSERT INTO dead_letters
            (id, job_id, claim_no, user_id, type, payload, error, traceback, fingerprint, attempts, died_at)
        SELECT b.id, j.id, j.claim_no, j.user_id, j.type, j.payload, j.error, b.traceback, b.fingerprint, j.attempt, :now
        FROM {batch.sql} JOIN jobs j ON j.id = b.job_id AND j.claim_no = b.claim_no""",
        now=now,
        **batch.parameters,
    )


def fingerprint_of(kind: str, place: str) -> str:
    """Name a group of like failures: the same error from the same place has the same fingerprint.

    :param kind: the error's class name.
    :param place: where it was raised, without line numbers, so that an edit elsewhere in the file changes nothing.
    """
    return hashlib.sha256(f"{kind}\n{place}".encode()).hexdigest()[:16]


def get(session: Session, *, letter_id: str, user_id: str | None) -> DeadLetter:
    """Read one dead letter.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such dead letter.
    """
    statement = select(DeadLetter).where(DeadLetter.id == letter_id, col(DeadLetter.deleted_at).is_(None))
    if user_id is not None:
        statement = statement.where(DeadLetter.user_id == user_id)
    letter = session.scalars(statement).one_or_none()
    if letter is None:
        raise NotFoundError
    return letter


def listed(
    session: Session,
    *,
    user_id: str | None,
    type: str | None = None,
    fingerprint: str | None = None,
    before: str | None = None,
    limit: int,
) -> Piece[DeadLetter]:
    """List dead letters, newest first; a page of large ones ends before its limit.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    conditions: list[ColumnElement[bool]] = [col(DeadLetter.deleted_at).is_(None)]
    if type is not None:
        conditions.append(col(DeadLetter.type) == type)
    if fingerprint is not None:
        conditions.append(col(DeadLetter.fingerprint) == fingerprint)
    size = bytes_of(session, "dead_letters.payload", "dead_letters.error", "dead_letters.traceback")
    return newest(session, DeadLetter, *conditions, size=size, user_id=user_id, before=before, limit=limit)


def delete(session: Session, *, letter_id: str, user_id: str | None) -> None:
    """Throw a dead letter and what it holds away; its job stays failed.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such dead letter.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    owner = {} if user_id is None else {"user": user_id}
    row = run(
        session,
        f"""UPDATE dead_letters SET deleted_at = :now, payload = 'null', error = 'null', traceback = NULL
        WHERE id = :id {mine} AND deleted_at IS NULL RETURNING id""",
        id=letter_id,
        now=database_now(session),
        **owner,
    ).first()
    if row is None:
        raise NotFoundError
