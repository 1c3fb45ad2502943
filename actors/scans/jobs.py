"""The job types of a scan: ingest reads the pull requests, embed makes vectors of them, cluster groups those that are alike.

What each has done is committed while it goes on, with a cursor, so a killed worker costs one batch and nothing else.
"""

from functools import partial
from typing import Annotated

import msgspec

from actors.job import Backoff, JobContext, job
from actors.scans import groups, vectors
from actors.scans import ingest as ingesting
from actors.scans.errors import ScanGoneError
from actors.settings import GitHubSettings, ScanSettings
from persistence import scan_pulls, scans
from persistence.database import now
from persistence.environment import load
from persistence.scans import Begun, Phase

_RETRY = Backoff(1, 5, 30)
_MAX_ATTEMPTS = 4
_INGEST_SECONDS = 900
_TIME_LIMIT_SECONDS = 300
_MOST_AT_A_TIME = 4  # each has a copy of a repository on the disk
_BATCH = 50

# They become parts of a path at the host.
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^(?!\.{1,2}$)[A-Za-z0-9_.-]+$(?!\n)")]

# What is wrong with them is to be said at the start, as of all settings.
_SCANS, _GITHUB = load(ScanSettings), load(GitHubSettings)


class IngestRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Read the pull requests of a repository: from its mirror at `url`, or without one from the configured host."""

    owner: Word
    name: Word
    url: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class StageRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Go on with the scan that this job belongs to."""


class Ingested(msgspec.Struct):
    """How many pull requests the scan has, and how many of them the last attempt has read."""

    pulls: int
    read: int


class Embedded(msgspec.Struct):
    """How many vectors this attempt has made."""

    vectors: int


class Clustered(msgspec.Struct):
    """How many groups of duplicates there are."""

    groups: int


@job(
    scans.INGEST,
    payload=IngestRequest,
    result=Ingested,
    time_limit_seconds=_INGEST_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
    concurrency=_MOST_AT_A_TIME,
)
def ingest(job: JobContext, request: IngestRequest) -> Ingested:
    """Read titles and diffs of a repository's pull requests and let vectors be made of them."""
    scan_id, begun = _begin(job)
    work = ingesting.Ingest(job, scan_id, begun, most=_SCANS.pulls)
    if request.url is not None:
        ingesting.from_mirror(work, request.url, _SCANS)
    else:
        ingesting.from_host(work, request.owner, request.name, _GITHUB)
    _enter(job, scan_id, Phase.EMBED)
    job.submit(scans.EMBED, {})
    return Ingested(work.known, work.stored)


@job(
    scans.EMBED,
    payload=StageRequest,
    result=Embedded,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def embed(job: JobContext, request: StageRequest) -> Embedded:
    """Make a vector of each pull request's title and diff and let the vectors be compared."""
    del request
    scan_id, begun = _begin(job)
    cursor, done = begun.cursor, 0
    while batch := job.read(partial(scan_pulls.unembedded, scan_id=scan_id, after=cursor, limit=_BATCH)):
        made = []
        for pull in batch:
            job.check()
            made.append((pull.number, vectors.embed(pull.title, pull.diff or b"")))
        job.checkpoint(partial(scan_pulls.embed, scan_id=scan_id, vectors=made))
        cursor, done = batch[-1].number, done + len(batch)
        all_made = begun.embedded + done
        job.progress(99 * all_made / max(begun.pulls, all_made), f"{all_made} of {begun.pulls} vectors made")
    _enter(job, scan_id, Phase.CLUSTER)
    job.submit(scans.CLUSTER, {})
    return Embedded(done)


@job(
    scans.CLUSTER,
    payload=StageRequest,
    result=Clustered,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def cluster(job: JobContext, request: StageRequest) -> Clustered:
    """Group the pull requests that are near duplicates of each other."""
    del request
    scan_id, _ = _begin(job)
    stored = job.read(partial(scan_pulls.vectors, scan_id=scan_id))
    pulls = [groups.Embedded(number, title, vectors.decode(vector)) for number, title, vector in stored]

    def step(done: int) -> None:
        job.check()
        job.progress(99 * done / max(len(pulls), 1), f"{done} of {len(pulls)} pull requests compared")

    found = groups.find(pulls, step=step)
    text, count = msgspec.json.encode(found).decode(), len(found)
    job.commit_with(lambda session: scans.conclude(session, scan_id=scan_id, groups=text, count=count))
    return Clustered(count)


def _begin(job: JobContext) -> tuple[str, Begun]:
    """Give the scan's id and where this attempt begins.

    :raises ScanGoneError: the job belongs to no scan.
    """
    scan_id, user_id = job.subject, job.user
    begun = None
    if scan_id is not None:
        begun = job.checkpoint(lambda session: scans.begin(session, scan_id=scan_id, user_id=user_id, now=now(session)))
    if scan_id is None or begun is None:
        raise ScanGoneError("This job belongs to no scan: scans are started with POST repos/{owner}/{name}/scan.")
    return scan_id, begun


def _enter(job: JobContext, scan_id: str, phase: Phase) -> None:
    job.commit_with(lambda session: scans.enter(session, scan_id=scan_id, phase=phase))
