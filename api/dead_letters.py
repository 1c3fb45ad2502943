"""Dead letters: what failed for good, to be read, sent back to work or thrown away."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from actors.registry import Registry
from api.dependencies import Caller
from api.limits import SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, piece
from api.problems import specs
from api.submissions import check_moment, payload_of
from api.wire import ErrorOut, JobOut, Moment, error_out, id_of, job_out, raw
from persistence import dead_letters, job_views, replays
from persistence.database import Database, as_instant, now
from persistence.dead_letters import DeadLetter
from persistence.wakeup import Notifier

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class DeadLetterOut(msgspec.Struct, kw_only=True):
    """The record of a job that failed for good."""

    id: str
    job: str
    type: str
    payload: msgspec.Raw
    error: ErrorOut | None
    traceback: str | None
    fingerprint: str
    attempts: int
    died_at: datetime
    replayed_at: datetime | None


class ReplayIn(msgspec.Struct, forbid_unknown_fields=True):
    """A payload to take the place of the job's own."""

    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ReplayManyIn(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters to replay; without a word all that were not replayed yet."""

    type: _Name | None = None
    fingerprint: _Name | None = None
    before: Moment | None = None
    dry_run: bool = False


class ReplayedOut(msgspec.Struct):
    """What came of a bulk: how many letters fitted, how many were replayed, and how many had no room.

    `jobs` are the ids of the jobs that went back.
    """

    matched: int
    replayed: int
    refused: int
    jobs: list[str]
    dry_run: bool


@get("/dead-letters", sync_to_thread=True, tags=["dead letters"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_dead_letters(
    *,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    kind: Annotated[str | None, QueryParameter(name="type", max_length=200)] = None,
    fingerprint: Annotated[str | None, QueryParameter(name="fingerprint", max_length=64)] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeadLetterOut]:
    """List dead letters, newest first; a page of large ones may end before its limit."""
    before = after(cursor, caller)
    with database.read() as session:
        letters = dead_letters.listed(
            session, user_id=caller.sees, type=kind, fingerprint=fingerprint, before=before, limit=limit
        )
    return piece(letters, caller=caller, item=_seen)


@get("/dead-letters/{id:str}", sync_to_thread=True, tags=["dead letters"], responses=specs(HTTPStatus.NOT_FOUND))
def read_dead_letter(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> DeadLetterOut:
    """Read a dead letter."""
    with database.read() as session:
        return _seen(dead_letters.get(session, letter_id=id_of(id), user_id=caller.sees))


@post(
    "/dead-letters/{id:str}/replay",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["dead letters"],
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def replay_dead_letter(
    *,
    id: FromPath[str],
    caller: NamedDependency[Caller],
    registry: NamedDependency[Registry],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    data: JSONBody[ReplayIn | None] = None,
) -> JobOut:
    """Send the job back to its lane with new attempts; pressed twice it is replayed once."""
    rates.take(caller)
    letter_id = id_of(id)
    payload = None
    if data is not None and isinstance(data.payload, msgspec.Raw):
        with database.read() as session:
            letter = dead_letters.get(session, letter_id=letter_id, user_id=caller.sees)
        payload = payload_of(data.payload, job_type=registry.get(letter.type), caller=caller)
    with database.write() as session:
        job_id = replays.replay(session, letter_id=letter_id, user_id=caller.sees, payload=payload)
    notifier.notify()
    with database.read() as session:
        return job_out(job_views.get(session, job_id=job_id, user_id=caller.sees))


@post(
    "/dead-letters/replay",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["dead letters"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS),
)
def replay_dead_letters(
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
    data: JSONBody[ReplayManyIn | None] = None,
) -> ReplayedOut:
    """Replay all dead letters that fit, oldest first, as far as the users' tiers have room."""
    rates.take(caller)
    asked = data or ReplayManyIn()
    check_moment(asked.before, field="before")
    words = {"type": asked.type, "fingerprint": asked.fingerprint, "before": asked.before}
    answer = ReplayedOut(0, 0, 0, [], asked.dry_run)
    if asked.dry_run:
        with database.read() as session:
            answer.matched = replays.count(session, user_id=caller.sees, **words)  # type: ignore[arg-type]
        return answer
    with database.read() as session:
        begun = as_instant(now(session))
    assert begun is not None  # noqa: S101 - a clock always answers
    # What fails again while the chunks go on is not replayed once more: that would have no end.
    words["before"] = min(asked.before or begun, begun)
    place = None
    while True:
        with database.write() as session:
            done = replays.replay_many(session, user_id=caller.sees, after=place, **words)  # type: ignore[arg-type]
        answer.matched += len(done.jobs) + done.refused
        answer.replayed += len(done.jobs)
        answer.refused += done.refused
        answer.jobs += done.jobs
        notifier.notify()
        place = done.last
        if place is None:
            return answer


@delete("/dead-letters/{id:str}", sync_to_thread=True, tags=["dead letters"], responses=specs(HTTPStatus.NOT_FOUND))
def delete_dead_letter(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> None:
    """Throw a dead letter away; its job stays failed."""
    with database.write() as session:
        dead_letters.delete(session, letter_id=id_of(id), user_id=caller.sees)


def _seen(letter: DeadLetter) -> DeadLetterOut:
    return DeadLetterOut(
        id=letter.id,
        job=letter.job_id,
        type=letter.type,
        payload=raw(letter.payload),
        error=error_out(letter.error),
        traceback=letter.traceback,
        fingerprint=letter.fingerprint,
        attempts=letter.attempts,
        died_at=letter.died_at,
        replayed_at=letter.replayed_at,
    )


ROUTES = [list_dead_letters, read_dead_letter, replay_dead_letter, replay_dead_letters, delete_dead_letter]
