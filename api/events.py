"""Events: what happens to jobs, as Server-Sent Events that a client can resume."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream as StreamResponse

from api.dependencies import Caller
from api.feed import EventFeed
from api.problems import specs
from api.streams import Stream
from api.tail import Tail, Told
from api.wire import error_out, id_of
from persistence import event_feed, job_views
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.event_feed import Position, Progress, Step
from persistence.states import FINAL, Status

PING_SECONDS = 15.0
_RETRY = b"retry: 1000\n\n"
_PING = b": ping\n\n"
_LARGEST = 2**63 - 1
_SQL_INTEGER = 2**31 - 1

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MEDIA_TYPE = "text/event-stream"

LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=50, description="Go on after this event."),
]


@get(
    "/jobs/{id:str}/events",
    tags=["events"],
    media_type=_MEDIA_TYPE,
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS),
)
async def stream_job(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    feed: NamedDependency[EventFeed],
    last: LastEventId = None,
) -> StreamResponse | Response[None]:
    """Tell all that has happened to a job and all that happens, until it has finished.

    With `Last-Event-ID` it goes on after that event; when nothing is left to tell the answer is 204, which ends a
    browser's EventSource.
    """
    job_id, seen = id_of(id), _number(last)
    leave = feed.enter(user_id=caller.user_id, tenant_id=caller.tenant_id)
    stream = Stream(feed, job_id=job_id)
    try:
        past, status = await asyncio.to_thread(_begin_job, database, stream, job_id, caller.sees, seen)
    except BaseException:
        _part(stream, leave)
        raise
    if not past and status in FINAL:
        _part(stream, leave)
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    return _respond(_job_events(database, stream, past, seen), stream, leave)


@get(
    "/events",
    tags=["events"],
    media_type=_MEDIA_TYPE,
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS),
)
async def stream_all(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    feed: NamedDependency[EventFeed],
    last: LastEventId = None,
) -> StreamResponse:
    """Tell what happens to all jobs of the caller (admin: of everybody) from now on, or since `Last-Event-ID`."""
    since = _position(last)
    leave = feed.enter(user_id=caller.user_id, tenant_id=caller.tenant_id)
    stream = Stream(feed, user_id=caller.sees)
    try:
        await asyncio.to_thread(stream.open)
    except BaseException:
        _part(stream, leave)
        raise
    tail = None if since is None else Tail(since)
    return _respond(_all_events(database, stream, tail, caller.sees), stream, leave)


def _begin_job(database: Database, stream: Stream, job_id: str, user_id: str | None, seen: int) -> tuple[list[Step], Status]:
    with database.read() as session:
        job_views.status(session, job_id=job_id, user_id=user_id)
    stream.open()
    with database.read() as session:
        past = event_feed.of_job(session, job_id=job_id, after=seen)
        return past, job_views.status(session, job_id=job_id, user_id=user_id)


def _respond(events: AsyncIterator[bytes], stream: Stream, leave: Any) -> StreamResponse:
    # A response whose client has gone before it began is never iterated, so its end cannot be left to a `finally`.
    weakref.finalize(events, _part, stream, leave)
    return StreamResponse(events, media_type=_MEDIA_TYPE, headers=_HEADERS)


def _part(stream: Stream, leave: Any) -> None:
    stream.close()
    leave()


async def _job_events(database: Database, stream: Stream, past: list[Step], seen: int) -> AsyncIterator[bytes]:
    yield _RETRY
    steps = past
    while True:
        for step in steps:
            seen = step.seq
            yield _of_step(step, str(step.seq))
        if steps and steps[-1].to in FINAL:
            return
        steps = []
        try:
            told = await stream.next(PING_SECONDS)
        except TimeoutError:
            yield _PING
            continue
        if told is None:
            return
        if isinstance(told, Progress):
            yield _of_progress(told)
        elif told.step.seq == seen + 1:
            steps = [told.step]
        elif told.step.seq > seen:
            # The feed's order is not always that of one job: what is missing has been committed all the same.
            steps = await asyncio.to_thread(_steps_after, database, told.step.job_id, seen)


async def _all_events(database: Database, stream: Stream, tail: Tail | None, user_id: str | None) -> AsyncIterator[bytes]:
    yield _RETRY
    watched = event_feed.Watched(users=[] if user_id is None else [user_id], everybody=user_id is None)
    more = tail is not None
    while tail is not None and more:
        past, more = await asyncio.to_thread(tail.read, database, watched)
        for told in past:
            yield _of_told(told)
    while True:
        try:
            heard = await stream.next(PING_SECONDS)
        except TimeoutError:
            yield _PING
            continue
        if heard is None:
            return
        if isinstance(heard, Progress):
            yield _of_progress(heard)
        elif tail is None or not tail.has_told(heard.step):
            yield _of_told(heard)


def _steps_after(database: Database, job_id: str, seen: int) -> list[Step]:
    with database.read() as session:
        return event_feed.of_job(session, job_id=job_id, after=seen)


def _of_told(told: Told) -> bytes:
    return _of_step(told.step, None if told.resume is None else f"{told.resume.xid}-{told.resume.id}")


def _of_step(step: Step, id: str | None) -> bytes:
    told = {
        "job": step.job_id,
        "type": step.type,
        "from": step.before,
        "to": step.to,
        "attempt": step.attempt,
        "at": step.at,
        "worker": step.worker,
        "reason": step.reason,
        "error": error_out(step.error),
    }
    return _event(step.event, told, id)


def _of_progress(progress: Progress) -> bytes:
    told = {
        "job": progress.job_id,
        "type": progress.type,
        "attempt": progress.attempt,
        "progress": {"percent": progress.percent, "note": progress.note},
    }
    return _event("job.progress", told, None)


def _event(name: str, told: dict[str, Any], id: str | None) -> bytes:
    place = b"" if id is None else f"id: {id}\n".encode()
    return b"event: " + name.encode() + b"\n" + place + b"data: " + msgspec.json.encode(told) + b"\n\n"


def _number(last: str | None) -> int:
    if not last:
        return 0
    if last.isascii() and last.isdigit() and int(last) <= _SQL_INTEGER:
        return int(last)
    raise ValidationError("Last-Event-ID: not one of this stream", field="Last-Event-ID")


def _position(last: str | None) -> Position | None:
    if not last:
        return None
    xid, _, number = last.partition("-")
    if all(part.isascii() and part.isdigit() and int(part) <= _LARGEST for part in (xid, number)):
        return Position(int(xid), int(number))
    raise ValidationError("Last-Event-ID: not one of this stream", field="Last-Event-ID")


ROUTES = [stream_job, stream_all]
