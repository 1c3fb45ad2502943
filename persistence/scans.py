"""Scans: the search of a repository for duplicate pull requests; how one stands is read off its jobs, never stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.errors import NotFoundError
from persistence.jobs import Job
from persistence.repositories import Repository
from persistence.statements import run
from persistence.states import FINAL, Status

INGEST, EMBED, CLUSTER = STAGES = ("scan.ingest", "scan.embed", "scan.cluster")
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
_MOST_PRUNED = 10


class Phase(StrEnum):
    """What a scan has come to: each of the first three is a job, and `done` is the end of the last one."""

    INGEST = "ingest"
    EMBED = "embed"
    CLUSTER = "cluster"
    DONE = "done"


class Scan(SQLModel, table=True):
    """One search of one repository; its jobs carry its id as their subject.

    `cursor` is how far its phase is: the number of the last pull request that is done with. An attempt begins after it.
    `truncated` says that there are older pull requests, which it leaves out.
    """

    __tablename__ = "scans"
    __table_args__ = (
        tables.one_of("phase", Phase, name="phase"),
        CheckConstraint("pr_count >= 0 AND ingested_count >= 0 AND embedded_count >= 0", name="counts"),
        Index("ix_scans_repository", "repository_id", "id"),
        Index("ix_scans_created", "created_at"),
    )
    id: str = tables.id_key()
    repository_id: str = tables.id_column("repositories.id")
    user_id: str = tables.id_column("users.id")
    phase: str = Field(default=Phase.INGEST, max_length=20)
    cursor: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    pr_count: int = 0
    truncated: bool = False
    ingested_count: int = 0
    embedded_count: int = 0
    dupe_group_count: int = 0
    groups: str | None = tables.json_text()
    created_at: datetime = tables.instant(nullable=False)
    started_at: datetime | None = tables.instant()


@dataclass(frozen=True, slots=True)
class Begun:
    """Where an attempt at a phase begins.

    :param cursor: the number of the pull request after which it goes on.
    :param pulls: how many are known; of these so many have been `ingested` and `embedded`.
    """

    cursor: int
    pulls: int
    ingested: int
    embedded: int


@dataclass(slots=True)
class ScanView:
    """A scan with its repository and its jobs, in the order of its stages.

    :param status: queued, running, done or failed.
    """

    scan: Scan
    repository: Repository
    status: str
    jobs: list[Job]


def create(session: Session, *, scan_id: str, repository: Repository, now: Any) -> None:
    """Enter a scan; its first job enters in the same transaction.

    :param now: the moment of the transaction, as the database gave it.
    """
    run(
        session,
        """INSERT INTO scans (id, repository_id, user_id, phase, cursor, pr_count, truncated, ingested_count,
            embedded_count, dupe_group_count, created_at)
        VALUES (:id, :repository, :user, 'ingest', 0, 0, false, 0, 0, 0, :now)""",
        id=scan_id,
        repository=repository.id,
        user=repository.user_id,
        now=now,
    )


def under_way(session: Session, *, repository_id: str) -> str | None:
    """Find the scan of a repository that has not ended.

    :returns: its id, or None.
    """
    row = run(
        session,
        """SELECT s.id FROM scans s JOIN jobs j ON j.subject = s.id AND j.subject IS NOT NULL
        WHERE s.repository_id = :repository AND j.finished_at IS NULL ORDER BY s.id DESC LIMIT 1""",
        repository=repository_id,
    ).first()
    return None if row is None else str(row.id)


def get(session: Session, *, scan_id: str, user_id: str | None) -> ScanView:
    """Read one scan.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such scan.
    """
    statement = select(Scan, Repository).join(Repository, col(Repository.id) == Scan.repository_id).where(Scan.id == scan_id)
    if user_id is not None:
        statement = statement.where(Scan.user_id == user_id)
    found = session.exec(statement).one_or_none()
    if found is None:
        raise NotFoundError
    of_scan = select(Job).where(Job.subject == scan_id, col(Job.subject).is_not(None)).order_by(col(Job.id))
    jobs = list(session.scalars(of_scan))
    return ScanView(found[0], found[1], _status(found[0], jobs), jobs)


def begin(session: Session, *, scan_id: str, user_id: str, now: Any) -> Begun | None:
    """Begin a scan, or go on with one that was begun.

    :param user_id: whose it must be.
    :param now: the moment of the transaction, as the database gave it.
    :returns: where to begin; None when the scan is gone.
    """
    row = run(
        session,
        """UPDATE scans SET started_at = coalesce(started_at, :now) WHERE id = :id AND user_id = :user
        RETURNING cursor, pr_count, ingested_count, embedded_count""",
        id=scan_id,
        user=user_id,
        now=now,
    ).first()
    return None if row is None else Begun(row.cursor, row.pr_count, row.ingested_count, row.embedded_count)


def enter(session: Session, *, scan_id: str, phase: Phase) -> None:
    """Let a scan enter its next phase, at the beginning of it."""
    run(session, "UPDATE scans SET phase = :phase, cursor = 0 WHERE id = :id", phase=str(phase), id=scan_id)


def conclude(session: Session, *, scan_id: str, groups: str, count: int) -> None:
    """Write what a scan has found.

    :param groups: JSON text of a list of `{members: [{number, title}], score}`.
    :param count: how many they are.
    """
    run(
        session,
        "UPDATE scans SET phase = 'done', groups = :groups, dupe_group_count = :count WHERE id = :id",
        groups=groups,
        count=count,
        id=scan_id,
    )


def prune(session: Session, *, older_than_seconds: float, now: Any) -> None:
    """Delete a few of the scans whose jobs have all been deleted; a scan is as old as its oldest job."""
    run(
        session,
        f"""DELETE FROM scans WHERE id IN (
            SELECT s.id FROM scans s WHERE s.created_at < moment_after(:now, :age)
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.subject = s.id AND j.subject IS NOT NULL)
            ORDER BY s.created_at LIMIT {_MOST_PRUNED})""",
        now=now,
        age=-older_than_seconds,
    )


def _status(scan: Scan, jobs: Sequence[Job]) -> str:
    if scan.phase == Phase.DONE:
        return DONE
    if not jobs or any(job.status in FINAL and job.status != Status.COMPLETED for job in jobs):
        return FAILED
    return QUEUED if scan.started_at is None and all(job.claim_no == 0 for job in jobs) else RUNNING
