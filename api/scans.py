"""Scans: how the search for duplicate pull requests stands, and what it has found."""

from datetime import datetime
from http import HTTPStatus

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.dependencies import Caller
from api.problems import specs
from api.wire import ErrorOut, ProgressOut, error_out, id_of
from persistence import scans
from persistence.database import Database
from persistence.scans import ScanView
from persistence.states import Status

_CANCELLED = "Cancelled"


class MemberOut(msgspec.Struct):
    """A pull request of a group."""

    number: int
    title: str


class GroupOut(msgspec.Struct):
    """Pull requests that are near duplicates; `score` is how alike they are on average, from 0 to 1."""

    members: list[MemberOut]
    score: float


class ScanJobOut(msgspec.Struct):
    """A job of a scan."""

    id: str
    type: str
    status: Status


class ScanOut(msgspec.Struct, kw_only=True):
    """A scan as its caller sees it.

    `status` is queued, running, done or failed; `phase` ingest, embed, cluster or done, null until it begins. `pr_count` counts
    the pull requests that are known so far; `truncated` says that older ones are left out. `error` is why it has failed, or
    why the last attempt at what it is waiting to try again has.
    """

    scan_id: str
    owner: str
    name: str
    status: str
    phase: str | None
    progress: ProgressOut
    pr_count: int
    ingested_count: int
    embedded_count: int
    truncated: bool
    dupe_group_count: int
    groups: list[GroupOut]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error: ErrorOut | None
    jobs: list[ScanJobOut]


_GROUPS = msgspec.json.Decoder(list[GroupOut])


@get("/scans/{id:str}", sync_to_thread=True, tags=["scans"], responses=specs(HTTPStatus.NOT_FOUND))
def read_scan(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> ScanOut:
    """Read a scan: what it is at, how far it is and, once it is done, which pull requests are duplicates."""
    with database.read() as session:
        return _seen(scans.get(session, scan_id=id_of(id), user_id=caller.sees))


def _seen(view: ScanView) -> ScanOut:
    scan, latest = view.scan, view.jobs[-1] if view.jobs else None
    is_over = view.status in {scans.DONE, scans.FAILED}
    return ScanOut(
        scan_id=scan.id,
        owner=view.repository.owner,
        name=view.repository.name,
        status=view.status,
        phase=None if view.status == scans.QUEUED else scan.phase,
        progress=ProgressOut(latest.progress_percent, latest.progress_note) if latest else ProgressOut(0.0, None),
        pr_count=scan.pr_count,
        ingested_count=scan.ingested_count,
        embedded_count=scan.embedded_count,
        truncated=scan.truncated,
        dupe_group_count=scan.dupe_group_count,
        groups=_GROUPS.decode(scan.groups) if scan.groups is not None else [],
        created_at=scan.created_at,
        started_at=scan.started_at,
        completed_at=latest.finished_at if latest and is_over else None,
        error=_error(view),
        jobs=[ScanJobOut(job.id, job.type, Status(job.status)) for job in view.jobs],
    )


def _error(view: ScanView) -> ErrorOut | None:
    for job in view.jobs:
        if job.status == Status.CANCELLED:
            return ErrorOut(_CANCELLED, "The scan was cancelled.", retryable=False, attempt=job.attempt)
    return error_out(view.jobs[-1].error) if view.jobs and view.status != scans.DONE else None


ROUTES = [read_scan]
