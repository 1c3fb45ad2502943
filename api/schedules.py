"""Schedules: jobs that begin at the moments of a cron expression, again and again."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from actors.registry import Registry
from api.dependencies import Caller
from api.limits import BODY_BYTES, SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, piece
from api.problems import specs
from api.run_schemas import rank
from api.submissions import payload_of
from api.wire import PREFIX, MaxAttempts, Priority, TagText, id_of, raw
from persistence import schedules
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.jobs import DEFAULT_PRIORITY
from persistence.schedules import Missed, Schedule
from persistence.wakeup import Notifier

MOST_OF_A_USER = 1_000

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
_Cron = Annotated[str, msgspec.Meta(min_length=9, max_length=200)]
_Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Tags = Annotated[list[TagText], msgspec.Meta(max_length=20)]


class ScheduleIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A schedule as its caller asks for it.

    `cron` has five fields: minute, hour, day of month, month, day of week. `missed` says what becomes of moments at which
    nobody was there: `skip` fires none of them, `last` the latest one, `all` each, up to 100.
    """

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    payload: msgspec.Raw
    cron: _Cron
    timezone: _Zone = "UTC"
    name: _Name | None = None
    missed: Missed = Missed.LAST
    paused: bool = False
    priority: Priority = DEFAULT_PRIORITY
    max_attempts: MaxAttempts | None = None
    tags: _Tags = []


class SchedulePatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to change; a new `cron` or `timezone`, and the end of a pause, count from now."""

    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    cron: _Cron | msgspec.UnsetType = msgspec.UNSET
    timezone: _Zone | msgspec.UnsetType = msgspec.UNSET
    name: _Name | msgspec.UnsetType | None = msgspec.UNSET
    missed: Missed | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET
    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    max_attempts: MaxAttempts | msgspec.UnsetType = msgspec.UNSET
    tags: _Tags | msgspec.UnsetType = msgspec.UNSET


class ScheduleOut(msgspec.Struct, kw_only=True):
    """A schedule as its caller sees it; `next_at` is null while it is paused."""

    id: str
    name: str | None
    type: str
    payload: msgspec.Raw
    cron: str
    timezone: str
    missed: str
    priority: int
    max_attempts: int
    tags: list[str]
    paused: bool
    next_at: datetime | None
    last_at: datetime | None
    last_job: str | None
    fired_count: int
    missed_count: int
    created_at: datetime
    user: str


@post(
    "/schedules",
    sync_to_thread=True,
    status_code=HTTPStatus.CREATED,
    request_max_body_size=BODY_BYTES,
    tags=["schedules"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def create_schedule(
    *,
    data: JSONBody[ScheduleIn],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
) -> Response[ScheduleOut]:
    """Create a schedule; each of its moments fires once, however many workers there are."""
    rates.take(caller)
    job_type = registry.get(data.type)
    schedule = Schedule(
        user_id=caller.user_id,
        name=data.name,
        type=data.type,
        queue=job_type.queue,
        payload=payload_of(data.payload, job_type=job_type, caller=caller),
        priority=rank(data.priority),
        max_attempts=data.max_attempts or job_type.max_attempts,
        tags=_tags(data.tags),
        cron=data.cron,
        timezone=data.timezone,
        missed_policy=data.missed,
    )
    with database.write() as session:
        if schedules.count(session, user_id=caller.user_id) >= MOST_OF_A_USER:
            raise ValidationError(f"a user has {MOST_OF_A_USER} schedules at the most", limit=MOST_OF_A_USER)
        made = schedules.create(session, schedule, paused=data.paused)
    return Response(_seen(made), headers={"Location": f"{PREFIX}/schedules/{made.id}"})


@get("/schedules", sync_to_thread=True, tags=["schedules"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_schedules(
    caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ScheduleOut]:
    """List schedules, newest first; a page of large payloads may end before its limit."""
    before = after(cursor, caller)
    with database.read() as session:
        found = schedules.listed(session, user_id=caller.sees, before=before, limit=limit)
    return piece(found, caller=caller, item=_seen)


@get("/schedules/{id:str}", sync_to_thread=True, tags=["schedules"], responses=specs(HTTPStatus.NOT_FOUND))
def read_schedule(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> ScheduleOut:
    """Read a schedule."""
    with database.read() as session:
        return _seen(schedules.get(session, schedule_id=id_of(id), user_id=caller.sees))


@patch(
    "/schedules/{id:str}",
    sync_to_thread=True,
    request_max_body_size=BODY_BYTES,
    tags=["schedules"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ),
)
def change_schedule(
    *,
    id: FromPath[str],
    data: JSONBody[SchedulePatch],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
) -> ScheduleOut:
    """Change a schedule, pause it or let it go on; what passes while it is paused has not been missed."""
    schedule_id = id_of(id)
    fields: dict[str, Any] = {
        name: value
        for name in ("cron", "timezone", "name", "max_attempts")
        if (value := getattr(data, name)) is not msgspec.UNSET
    }
    if not isinstance(data.missed, msgspec.UnsetType):
        fields["missed_policy"] = data.missed
    if not isinstance(data.priority, msgspec.UnsetType):
        fields["priority"] = rank(data.priority)
    if not isinstance(data.tags, msgspec.UnsetType):
        fields["tags"] = _tags(data.tags)
    if isinstance(data.payload, msgspec.Raw):
        with database.read() as session:
            kind = schedules.get(session, schedule_id=schedule_id, user_id=caller.sees).type
        fields["payload"] = payload_of(data.payload, job_type=registry.get(kind), caller=caller)
    paused = None if isinstance(data.paused, msgspec.UnsetType) else data.paused
    with database.write() as session:
        changed = schedules.change(session, schedule_id=schedule_id, user_id=caller.sees, paused=paused, **fields)
    notifier.notify()
    return _seen(changed)


@delete("/schedules/{id:str}", sync_to_thread=True, tags=["schedules"], responses=specs(HTTPStatus.NOT_FOUND))
def delete_schedule(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> None:
    """Throw a schedule away; the jobs that it has made stay."""
    with database.write() as session:
        schedules.delete(session, schedule_id=id_of(id), user_id=caller.sees)


def _tags(tags: list[str]) -> str | None:
    return "\n".join(dict.fromkeys(tags)) or None


def _seen(schedule: Schedule) -> ScheduleOut:
    is_paused = schedule.paused_at is not None
    return ScheduleOut(
        id=schedule.id,
        name=schedule.name,
        type=schedule.type,
        payload=raw(schedule.payload),
        cron=schedule.cron,
        timezone=schedule.timezone,
        missed=schedule.missed_policy,
        priority=schedule.priority,
        max_attempts=schedule.max_attempts,
        tags=schedule.tags.split("\n") if schedule.tags else [],
        paused=is_paused,
        next_at=None if is_paused else schedule.next_at,
        last_at=schedule.last_at,
        last_job=schedule.last_job_id,
        fired_count=schedule.fired,
        missed_count=schedule.missed,
        created_at=schedule.created_at,
        user=schedule.user_id,
    )


ROUTES = [create_schedule, list_schedules, read_schedule, change_schedule, delete_schedule]
