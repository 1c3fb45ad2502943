"""Books: what the documents workload makes of an uploaded PDF; how one stands is read off its jobs, never stored."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.files import JobFile
from persistence.jobs import Job
from persistence.statements import run
from persistence.states import Status

UPLOAD, EXTRACT, DESCRIBE, CONVERT = STAGES = (
    "documents.upload",
    "documents.extract",
    "documents.describe",
    "documents.convert",
)
PDF, HTML = "book.pdf", "book.html"


class Book(SQLModel, table=True):
    """An uploaded PDF; its jobs carry its id as their subject."""

    __tablename__ = "books"
    __table_args__ = (Index("ix_books_user", "user_id", "id"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    title: str = Field(max_length=500)
    filename: str = Field(max_length=255)
    created_at: datetime = tables.instant(nullable=False)
    deleted_at: datetime | None = tables.instant()


@dataclass(slots=True)
class BookView:
    """A book with the jobs that made it, in the order in which they began.

    :param status: processing, ready or error.
    """

    book: Book
    status: str
    jobs: list[Job]


def create(session: Session, *, book_id: str, user_id: str, title: str | None, filename: str, now: Any) -> None:
    """Enter an uploaded book; its first job enters in the same transaction.

    :param title: what its uploader calls it; None leaves it to what the PDF says of itself.
    :param now: the moment of the transaction, as the database gave it.
    """
    run(
        session,
        """INSERT INTO books (id, user_id, title, filename, created_at)
        VALUES (:id, :user, :title, :filename, :now)""",
        id=book_id,
        user=user_id,
        title=title or "",
        filename=filename,
        now=now,
    )


def get(session: Session, *, book_id: str, user_id: str | None) -> BookView:
    """Read one book.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such book, or it was deleted.
    """
    return _viewed(session, [_find(session, book_id, user_id)])[0]


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> list[BookView]:
    """List books, newest first.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    statement = select(Book).where(col(Book.deleted_at).is_(None)).order_by(col(Book.id).desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(Book.user_id == user_id)
    if before is not None:
        statement = statement.where(col(Book.id) < before)
    return _viewed(session, session.scalars(statement).all())


def html_of(session: Session, *, book_id: str, user_id: str | None) -> JobFile:
    """Find the HTML of a book.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such book, or no HTML of it yet.
    """
    book = _find(session, book_id, user_id)
    statement = (
        select(JobFile)
        .join(Job, col(Job.id) == JobFile.job_id)
        .where(Job.subject == book.id, Job.type == CONVERT, Job.status == Status.COMPLETED, JobFile.name == HTML)
    )
    file = session.scalars(statement).first()
    if file is None:
        raise NotFoundError
    return file


def hide(session: Session, *, book_id: str, user_id: str | None) -> str:
    """Delete a book for its user; its rows go when its jobs have ended.

    :param user_id: whose it must be; None for anybody's.
    :returns: the id of the user whose it was.
    :raises NotFoundError: there is no such book, or it was deleted before.
    """
    mine = "" if user_id is None else "AND user_id = :user"
    row = run(
        session,
        f"UPDATE books SET deleted_at = :now WHERE id = :id AND deleted_at IS NULL {mine} RETURNING user_id",
        id=book_id,
        now=database_now(session),
        **({} if user_id is None else {"user": user_id}),
    ).first()
    if row is None:
        raise NotFoundError
    return str(row.user_id)


def _find(session: Session, book_id: str, user_id: str | None) -> Book:
    statement = select(Book).where(Book.id == book_id, col(Book.deleted_at).is_(None))
    if user_id is not None:
        statement = statement.where(Book.user_id == user_id)
    book = session.scalars(statement).one_or_none()
    if book is None:
        raise NotFoundError
    return book


def _viewed(session: Session, books: Sequence[Book]) -> list[BookView]:
    jobs: defaultdict[str | None, list[Job]] = defaultdict(list)
    if books:
        ids = [book.id for book in books]
        statement = select(Job).where(col(Job.subject).in_(ids), col(Job.subject).is_not(None)).order_by(col(Job.id))
        for job in session.scalars(statement):
            jobs[job.subject].append(job)
    return [BookView(book, _status(jobs[book.id]), jobs[book.id]) for book in books]


def _status(jobs: Sequence[Job]) -> str:
    if any(job.status in {Status.FAILED, Status.CANCELLED} for job in jobs):
        return "error"
    completed = {job.type for job in jobs if job.status == Status.COMPLETED}
    return "ready" if completed.issuperset(STAGES) else "processing"
