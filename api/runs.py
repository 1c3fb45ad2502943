"""Runs: created with all their jobs, watched, paused, resumed and cancelled as one."""

from http import HTTPStatus
from typing import Annotated

import structlog
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from actors.registry import Registry
from api.dependencies import Caller
from api.limits import BULK_BYTES, SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, piece
from api.problems import specs
from api.run_schemas import ProgressByOut, RunIn, RunOut, counts_out, run_out
from api.run_submissions import unit_of
from api.submissions import IdempotencyKey, idempotency_key
from api.wire import PREFIX, JobOut, id_of, job_out
from persistence import job_views, run_control, runs
from persistence.database import Database
from persistence.ledger import Ledger
from persistence.runs import Run
from persistence.wakeup import Notifier

log = structlog.get_logger(__name__)

MODEL = "model"
By = Annotated[
    str | None,
    QueryParameter(
        name="by",
        min_length=1,
        max_length=100,
        description="Count by the values of tags of the form `KEY:VALUE`; without it by whole tags.",
    ),
]


@post(
    "/runs",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    request_max_body_size=BULK_BYTES,
    tags=["runs"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
def start_run(
    *,
    data: JSONBody[RunIn],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    ledger: NamedDependency[Ledger],
    database: NamedDependency[Database],
    key: IdempotencyKey = None,
) -> Response[RunOut]:
    """Start a run: its jobs, up to 10,000, are accepted all or none."""
    rates.take(caller)
    admitted = ledger.submit(unit_of(data, key=idempotency_key(key), registry=registry, caller=caller))
    with database.read() as session:
        first = job_views.get(session, job_id=admitted.ids[0], user_id=caller.sees)
    run = read(str(first.job.run_id), caller, database)
    headers = {"Location": f"{PREFIX}/runs/{run.id}"} | ({"Idempotent-Replayed": "true"} if admitted.replayed else {})
    return Response(run, headers=headers)


@get("/runs", sync_to_thread=True, tags=["runs"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_runs(
    caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RunOut]:
    """List runs, newest first; a page of large configs may end before its limit."""
    return newest(caller, database, limit=limit, cursor=cursor)


@get("/runs/{id:str}", sync_to_thread=True, tags=["runs"], responses=specs(HTTPStatus.NOT_FOUND))
def read_run(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> RunOut:
    """Read a run with its progress, which is exact at the moment it is read."""
    return read(id, caller, database)


@get("/runs/{id:str}/progress", sync_to_thread=True, tags=["runs"], responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def read_run_progress(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], by: By = None
) -> ProgressByOut:
    """Count a run's jobs in all and by tag."""
    return progress(id, caller, database, by=by)


@get("/runs/{id:str}/tasks", sync_to_thread=True, tags=["runs"], responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def read_run_tasks(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT
) -> Page[JobOut]:
    """List the jobs of a run that finished last, the last one first; of large jobs there may be fewer than the limit."""
    return Page(last_finished(id, caller, database, limit=limit), None)


@post(
    "/runs/{id:str}/pause",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["runs"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def pause_run(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], notifier: NamedDependency[Notifier]
) -> RunOut:
    """Start none of a run's jobs any more; what is being processed goes on."""
    return pause(id, caller, database, notifier)


@post(
    "/runs/{id:str}/resume",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["runs"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def resume_run(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], notifier: NamedDependency[Notifier]
) -> RunOut:
    """Let a paused run go on."""
    return resume(id, caller, database, notifier)


@post(
    "/runs/{id:str}/cancel",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["runs"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def cancel_run(
    id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database], notifier: NamedDependency[Notifier]
) -> RunOut:
    """Cancel what is left of a run, for good; what is completed stays, and cancelled again it stays cancelled."""
    return cancel(id, caller, database, notifier)


def newest(caller: Caller, database: Database, *, limit: int, cursor: str | None) -> Page[RunOut]:
    """List the caller's runs from a cursor on, newest first; a page of large configs may end before its limit.

    :raises ValidationError: the cursor is not one of this list.
    """
    before = after(cursor, caller)
    with database.read() as session:
        found = runs.listed(session, user_id=caller.sees, before=before, limit=limit)
    return piece(found, caller=caller, item=run_out)


def read(id: str, caller: Caller, database: Database) -> RunOut:
    """Read a run with its progress in all and by model.

    :raises NotFoundError: the caller has no such run.
    """
    run_id = id_of(id)
    with database.glance() as session:
        return run_out(*runs.by_tag(session, run_id=run_id, user_id=caller.sees, key=MODEL))


def progress(id: str, caller: Caller, database: Database, *, by: str | None) -> ProgressByOut:
    """Count a run's jobs in all and by tag, and read nothing else of it.

    :param by: count by the values of tags of the form `KEY:VALUE`; None counts whole tags.
    :raises NotFoundError: the caller has no such run.
    """
    run_id = id_of(id)
    with database.glance() as session:
        run, counted = runs.by_tag(session, run_id=run_id, user_id=caller.sees, key=by, with_config=False)
    return ProgressByOut(progress=counts_out(run.counts), by={tag: counts_out(counts) for tag, counts in counted.items()})


def last_finished(id: str, caller: Caller, database: Database, *, limit: int) -> list[JobOut]:
    """List the jobs of a run that finished last, the last one first; of large jobs there may be fewer than the limit.

    :raises NotFoundError: the caller has no such run.
    """
    run_id = id_of(id)
    with database.read() as session:
        runs.get(session, run_id=run_id, user_id=caller.sees)
        ids = runs.last_finished(session, run_id=run_id, limit=limit)
        views = {view.job.id: view for view in job_views.of(session, job_ids=ids, user_id=caller.sees)}
    return [job_out(views[job_id]) for job_id in ids if job_id in views]


def pause(id: str, caller: Caller, database: Database, notifier: Notifier) -> RunOut:
    """Pause a run.

    :raises NotFoundError: the caller has no such run.
    :raises IllegalTransitionError: it is neither pending nor running.
    """
    run = run_control.pause(database, run_id=id_of(id), user_id=caller.sees)
    return _changed(database, run, caller, notifier, "run.paused")


def resume(id: str, caller: Caller, database: Database, notifier: Notifier) -> RunOut:
    """Let a paused run go on.

    :raises NotFoundError: the caller has no such run.
    :raises IllegalTransitionError: it is not paused.
    """
    run = run_control.resume(database, run_id=id_of(id), user_id=caller.sees)
    return _changed(database, run, caller, notifier, "run.resumed")


def cancel(id: str, caller: Caller, database: Database, notifier: Notifier) -> RunOut:
    """Cancel what is left of a run.

    :raises NotFoundError: the caller has no such run.
    :raises IllegalTransitionError: it is completed.
    """
    run = run_control.cancel(database, run_id=id_of(id), user_id=caller.sees)
    return _changed(database, run, caller, notifier, "run.cancelled")


def _changed(database: Database, run: Run, caller: Caller, notifier: Notifier, event: str) -> RunOut:
    log.info(event, run=run.id, by=caller.user_id)
    notifier.notify()
    return read(run.id, caller, database)


ROUTES = [start_run, list_runs, read_run, read_run_progress, read_run_tasks, pause_run, resume_run, cancel_run]
