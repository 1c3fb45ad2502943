"""The queue: how the work stands, and the operator's hand on it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
import structlog
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.dependencies import Caller, admin_only, require_admin
from api.problems import specs
from persistence import pauses, queue_status, users
from persistence.database import Database
from persistence.ids import is_id
from persistence.pauses import Scope
from persistence.states import Status
from persistence.wakeup import Notifier

log = structlog.get_logger(__name__)

_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_QueueName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class ScopeIn(msgspec.Struct, forbid_unknown_fields=True):
    """What to pause or resume, where all words fit; without any word everything. `user` is a name or an id."""

    type: _Word | None = None
    user: _Word | None = None
    queue: _QueueName | None = None


class PauseOut(msgspec.Struct):
    """A scope in which nothing new starts; null stands for any."""

    type: str | None
    user: str | None
    queue: str | None


class WorkerOut(msgspec.Struct, kw_only=True):
    """A worker process that is alive; `name` is for the operator."""

    id: str
    name: str | None
    queues: list[str]
    threads: int
    started_at: datetime
    beat_at: datetime


class QueueOut(msgspec.Struct, kw_only=True):
    """How the caller's jobs stand (admin: all); `paused` is whether everything is."""

    paused: bool
    pauses: list[PauseOut]
    totals: dict[str, int]
    by_type: dict[str, dict[str, int]]
    workers: list[WorkerOut]


@get("/queue", sync_to_thread=True, tags=["queue"], responses=specs())
def read_queue(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> QueueOut:
    """Tell how one's own jobs stand, by type and status (admin: all jobs)."""
    return status(caller, database)


@post(
    "/queue/pause",
    guards=[admin_only],
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["queue"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def pause_queue(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    data: JSONBody[ScopeIn | None] = None,
) -> QueueOut:
    """Start nothing new in a scope; what is being processed goes on."""
    return pause(data, caller=caller, database=database, notifier=notifier)


@post(
    "/queue/resume",
    guards=[admin_only],
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["queue"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def resume_queue(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    data: JSONBody[ScopeIn | None] = None,
) -> QueueOut:
    """End the pause of a scope; without a body every pause."""
    return resume(data, caller=caller, database=database, notifier=notifier)


def pause(asked: ScopeIn | None, *, caller: Caller, database: Database, notifier: Notifier) -> QueueOut:
    """Pause a scope, None for everything.

    :raises ForbiddenError: the caller is not the operator.
    :raises NotFoundError: there is no such user.
    """
    require_admin(caller)
    scope = _scope(database, asked)
    with database.write() as session:
        pauses.pause(session, scope)
    log.info("queue.paused", type=scope.type, user=scope.user_id, queue=scope.queue, by=caller.user_id)
    notifier.notify()
    return status(caller, database)


def resume(asked: ScopeIn | None, *, caller: Caller, database: Database, notifier: Notifier) -> QueueOut:
    """End the pause of a scope, None for every pause.

    :raises ForbiddenError: the caller is not the operator.
    :raises NotFoundError: there is no such user.
    """
    require_admin(caller)
    scope = _scope(database, asked)
    with database.write() as session:
        pauses.resume(session, scope)
    log.info("queue.resumed", type=scope.type, user=scope.user_id, queue=scope.queue, by=caller.user_id)
    notifier.notify()
    return status(caller, database)


def _scope(database: Database, data: ScopeIn | None) -> Scope:
    if data is None:
        return Scope()
    user = data.user or ""
    if user and not is_id(user):
        with database.read() as session:
            user = users.find(session, name=user).id
    return Scope(type=data.type or "", user_id=user, queue=data.queue or "")


def status(caller: Caller, database: Database) -> QueueOut:
    """Tell how the caller's jobs stand (admin: all jobs)."""
    with database.read() as session:
        by_type = queue_status.counts(session, user_id=caller.sees)
        closed = pauses.active(session)
        alive = queue_status.workers(session)
    totals = dict.fromkeys((str(each) for each in Status), 0)
    for counts in by_type.values():
        for each, count in counts.items():
            totals[each] += count
    shown = [scope for scope in closed if caller.is_admin or scope.user_id in {"", caller.user_id}]
    return QueueOut(
        paused=any(scope.is_total for scope in closed),
        pauses=[PauseOut(scope.type or None, scope.user_id or None, scope.queue or None) for scope in shown],
        totals=totals,
        by_type={kind: {str(each): counts.get(each, 0) for each in Status} for kind, counts in by_type.items()},
        workers=[
            WorkerOut(
                id=worker.id,
                name=worker.name if caller.is_admin else None,
                queues=worker.queues.split("\n"),
                threads=worker.threads,
                started_at=worker.started_at,
                beat_at=worker.beat_at,
            )
            for worker in alive
        ],
    )


ROUTES = [read_queue, pause_queue, resume_queue]
