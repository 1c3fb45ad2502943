"""Attachments of jobs: what an attempt saved, in chunks, visible once the attempt has committed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, LargeBinary, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.columns import Id
from persistence.errors import NotFoundError
from persistence.ids import new_id
from persistence.jobs import Job
from persistence.statements import run

CHUNK_BYTES = 1024 * 1024


class JobFile(SQLModel, table=True):
    """One named attachment of one job."""

    __tablename__ = "job_files"
    __table_args__ = (UniqueConstraint("job_id", "name"),)
    id: str = tables.id_key()
    job_id: str = Field(sa_column=Column(Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False))
    name: str = Field(max_length=200)
    media_type: str = Field(max_length=200)
    bytes: int
    created_at: datetime = tables.instant(nullable=False)


class FileChunk(SQLModel, table=True):
    """A part of an attachment's content, numbered from 0, so that no process holds a large file whole."""

    __tablename__ = "file_chunks"
    file_id: str = Field(sa_column=Column(Id, ForeignKey("job_files.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


def save(session: Session, *, job_id: str, name: str, media_type: str, chunks: Iterable[bytes], now: Any) -> int:
    """Attach a file to a job, in place of an earlier one of that name.

    :param chunks: the content in pieces of at most `CHUNK_BYTES` bytes.
    :param now: the moment of the transaction, as the database gave it.
    :returns: the size of the content in bytes.
    """
    run(session, "DELETE FROM job_files WHERE job_id = :job AND name = :name", job=job_id, name=name)
    file_id, size = new_id(), 0
    run(
        session,
        """INSERT INTO job_files (id, job_id, name, media_type, bytes, created_at)
        VALUES (:id, :job, :name, :media_type, 0, :now)""",
        id=file_id,
        job=job_id,
        name=name,
        media_type=media_type,
        now=now,
    )
    for number, chunk in enumerate(chunks):
        run(
            session,
            "INSERT INTO file_chunks (file_id, number, content) VALUES (:file, :number, :content)",
            file=file_id,
            number=number,
            content=chunk,
        )
        size += len(chunk)
    run(session, "UPDATE job_files SET bytes = :bytes WHERE id = :id", bytes=size, id=file_id)
    return size


def find(session: Session, *, job_id: str, name: str, user_id: str | None) -> JobFile:
    """Find an attachment by its name.

    :param user_id: whose job it must be; None for anybody's.
    :raises NotFoundError: there is no such job or attachment.
    """
    statement = select(JobFile).where(JobFile.job_id == job_id, JobFile.name == name)
    if user_id is not None:
        statement = statement.join(Job, col(Job.id) == JobFile.job_id).where(Job.user_id == user_id)
    file = session.scalars(statement).one_or_none()
    if file is None:
        raise NotFoundError
    return file


def of_jobs(session: Session, *, job_ids: Sequence[str]) -> dict[str, list[JobFile]]:
    """List the attachments of jobs by job id, in the order of their names."""
    attached: defaultdict[str, list[JobFile]] = defaultdict(list)
    if job_ids:
        statement = select(JobFile).where(col(JobFile.job_id).in_(job_ids)).order_by(col(JobFile.name))
        for file in session.scalars(statement):
            attached[file.job_id].append(file)
    return attached


def chunk(session: Session, *, file_id: str, number: int) -> bytes | None:
    """Read one part of an attachment; None after the last one, or when the attachment is gone."""
    statement = select(FileChunk.content).where(FileChunk.file_id == file_id, FileChunk.number == number)
    return session.scalars(statement).one_or_none()
