"""Jobs: submitted, listed, read, waited for and cancelled."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from actors.registry import Registry
from api.dependencies import Caller
from api.downloads import DOWNLOAD, download
from api.feed import EventFeed
from api.job_lists import newest, read_one
from api.job_schemas import SubmitOperation
from api.limits import BODY_BYTES, BULK_BYTES, LARGE_BYTES, SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.submissions import IdempotencyKey, admit, hash_of, idempotency_key, plain, submission_of, submissions_of
from api.wire import (
    PREFIX,
    AttemptOut,
    BulkIn,
    BulkOut,
    JobIn,
    JobOut,
    Receipt,
    StepOut,
    admitted_out,
    as_admitted,
    attempt_out,
    id_of,
    step_out,
)
from persistence import cancellation, dependencies, files, job_views
from persistence.admission import Admitted, Submission, Unit
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.job_lists import Filters
from persistence.ledger import Ledger
from persistence.states import FINAL, Status
from persistence.wakeup import Notifier

LONGEST_WAIT_SECONDS = 60

Wait = Annotated[
    float | None,
    QueryParameter(
        name="wait",
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="Answer when the job has finished, after so many seconds at the latest.",
    ),
]


@post(
    "/jobs",
    status_code=HTTPStatus.ACCEPTED,
    request_max_body_size=BODY_BYTES,
    operation_class=SubmitOperation,
    tags=["jobs"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def submit_job(
    *,
    data: JSONBody[JobIn],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    ledger: NamedDependency[Ledger],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    key: IdempotencyKey = None,
) -> Response[JobOut]:
    """Submit a job; the answer comes when it is committed."""
    rates.take(caller)
    key = idempotency_key(key)
    asked, request_hash = await _checked(data, key, registry=registry, caller=caller)
    admitted = await admit(ledger, Unit(caller.user_id, [asked], key, request_hash))
    if admitted.created_at is None or admitted.waiting_for is None or asked.depends_on:
        job = await asyncio.to_thread(_read_admitted, database, notifier, asked, admitted, caller)
    else:
        # The common case: all that there is to say is known, and the database has better things to do.
        job = admitted_out(asked, admitted, user_id=caller.user_id, tenant=caller.tenant)
    headers = {"Location": f"{PREFIX}/jobs/{job.id}"}
    if admitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(job, headers=headers)


@post(
    "/jobs/bulk",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    request_max_body_size=BULK_BYTES,
    tags=["jobs"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def submit_bulk(
    *,
    data: JSONBody[BulkIn],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    ledger: NamedDependency[Ledger],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    key: IdempotencyKey = None,
) -> BulkOut:
    """Submit up to 10,000 jobs, all or none."""
    rates.take(caller)
    if key is not None:
        raise ValidationError("Idempotency-Key: works for single jobs and for runs only", field="Idempotency-Key")
    asked = submissions_of(data.jobs, registry=registry, caller=caller)
    admitted = ledger.submit(Unit(caller.user_id, asked))
    _settle(database, notifier, [parent for submission in asked for parent in submission.depends_on])
    queued = str(Status.QUEUED)
    return BulkOut([Receipt(job, queued, place) for job, place in zip(admitted.ids, admitted.positions, strict=True)])


@get("/jobs", sync_to_thread=True, tags=["jobs"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_jobs(
    *,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    status: FromQuery[Status | None] = None,
    kind: Annotated[str | None, QueryParameter(name="type", max_length=200)] = None,
    run: Annotated[str | None, QueryParameter(name="run", max_length=36)] = None,
    tag: Annotated[str | None, QueryParameter(name="tag", max_length=100)] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[JobOut]:
    """List jobs, newest first; a page of large jobs may end before its limit."""
    return newest(Filters(status, kind, tag, run), caller, database, limit=limit, cursor=cursor)


@get("/jobs/{id:str}", tags=["jobs"], responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
async def read_job(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    feed: NamedDependency[EventFeed],
    wait: Wait = None,
) -> JobOut:
    """Read a job; with `wait` the answer comes as soon as it has finished."""
    job_id = id_of(id)
    if wait is not None and wait > 0:
        await feed.wait_for(job_id, lambda: _finished(database, job_id, caller), wait)
    return await asyncio.to_thread(read_one, database, job_id, caller)


@delete(
    "/jobs/{id:str}",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["jobs"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def cancel_job(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], notifier: NamedDependency[Notifier]
) -> JobOut:
    """Cancel a job at once and for good; a cancelled one stays cancelled."""
    job_id = id_of(id)
    with database.write() as session:
        cancelled = cancellation.cancel(session, job_id=job_id, user_id=caller.sees)
    if cancelled:
        _settle(database, notifier, [job_id])
        notifier.notify()
    return read_one(database, job_id, caller)


@get("/jobs/{id:str}/history", sync_to_thread=True, tags=["jobs"], responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def read_history(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[StepOut]:
    """List every transition of a job, oldest first."""
    start = _number(cursor, caller)
    with database.read() as session:
        steps = job_views.history(session, job_id=id_of(id), user_id=caller.sees, after=start, limit=limit + 1)
    return page(steps, limit=limit, caller=caller, key=lambda step: str(step.seq), item=step_out)


@get("/jobs/{id:str}/attempts", sync_to_thread=True, tags=["jobs"], responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def read_attempts(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AttemptOut]:
    """List the attempts at a job, oldest first."""
    start = _number(cursor, caller)
    with database.read() as session:
        tries = job_views.attempts(session, job_id=id_of(id), user_id=caller.sees, after=start, limit=limit + 1)
    return page(tries, limit=limit, caller=caller, key=lambda attempt: str(attempt.seq), item=attempt_out)


@get(
    "/jobs/{id:str}/files/{name:str}",
    sync_to_thread=True,
    tags=["jobs"],
    responses=DOWNLOAD | specs(HTTPStatus.NOT_FOUND),
)
def read_file(
    id: FromPath[str], name: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Stream:
    """Download an attachment."""
    with database.read() as session:
        file = files.find(session, job_id=id_of(id), name=name, user_id=caller.sees)
    return download(database, file)


async def _checked(data: JobIn, key: str | None, *, registry: Registry, caller: Caller) -> tuple[Submission, str | None]:
    """Check a submission; what is large in a thread, for the loop has others to serve."""

    def check() -> tuple[Submission, str | None]:
        return submission_of(data, registry=registry, caller=caller), hash_of(plain(data)) if key else None

    return await asyncio.to_thread(check) if memoryview(data.payload).nbytes > LARGE_BYTES else check()


def _read_admitted(database: Database, notifier: Notifier, asked: Submission, admitted: Admitted, caller: Caller) -> JobOut:
    _settle(database, notifier, asked.depends_on)
    (job_id,) = admitted.ids
    if admitted.replayed:
        return read_one(database, job_id, caller)
    with database.read() as session:
        return as_admitted(job_views.of_admitted(session, job_id=job_id, position=admitted.positions[0]))


def _finished(database: Database, job_id: str, caller: Caller) -> bool:
    with database.read() as session:
        return job_views.status(session, job_id=job_id, user_id=caller.sees) in FINAL


def _settle(database: Database, notifier: Notifier, parents: list[str] | tuple[str, ...]) -> None:
    """Let jobs go whose parents are finished already; the sweeper would do it seconds later."""
    if not parents:
        return
    moved = 0
    with database.write() as session:
        moved = dependencies.settle(session, parents=sorted(set(parents)))
    if moved:
        notifier.notify()


def _number(cursor: str | None, caller: Caller) -> int:
    return int(after(cursor, caller, is_key=_is_number) or 0)


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 10  # noqa: PLR2004 - more steps than a job can have


ROUTES = [submit_job, submit_bulk, list_jobs, read_job, cancel_job, read_history, read_attempts, read_file]
