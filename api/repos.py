"""Repositories: a user says what may be scanned, and starts scans of it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody

from actors.registry import Registry
from actors.scans import places
from actors.scans.jobs import Word
from actors.scans.places import PlaceRefusedError
from actors.settings import ScanSettings
from api.dependencies import Caller
from api.limits import SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.wire import PREFIX
from persistence import admission, repositories, scans
from persistence.database import Database
from persistence.database import now as database_now
from persistence.errors import ValidationError
from persistence.ids import new_id
from persistence.repositories import Repository
from persistence.wakeup import Notifier

MOST_OF_A_USER = 1_000


class RepositoryIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A repository to be tracked.

    `url` is where its mirror is: `https://…`, or a folder of the workers' machine that the operator allows. Without one it is
    asked for at the configured GitHub-compatible host.
    """

    owner: Word
    name: Word
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None


class RepositoryOut(msgspec.Struct, kw_only=True):
    """A tracked repository."""

    id: str
    owner: str
    name: str
    url: str | None
    created_at: datetime
    user: str


class StartedOut(msgspec.Struct):
    """A scan that is under way."""

    scan_id: str
    status: str


_TRACKED = {int(HTTPStatus.OK): ResponseSpec(RepositoryOut, description="Tracked already", generate_examples=False)}


@post(
    "/repos",
    sync_to_thread=True,
    status_code=HTTPStatus.CREATED,
    tags=["scans"],
    responses=_TRACKED
    | specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def track_repository(
    *,
    data: JSONBody[RepositoryIn],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    scan_settings: NamedDependency[ScanSettings],
    database: NamedDependency[Database],
) -> Response[RepositoryOut]:
    """Track a repository; tracked again it is found at the new URL from its next scan on, and the answer is 200."""
    rates.take(caller)
    if data.url is not None:
        try:
            places.check(data.url, scan_settings)
        except PlaceRefusedError as refusal:
            raise ValidationError(f"url: {refusal}", field="url") from None
    with database.write() as session:
        is_new = repositories.track(session, user_id=caller.user_id, owner=data.owner, name=data.name, url=data.url)
        if is_new and repositories.count(session, user_id=caller.user_id) > MOST_OF_A_USER:
            raise ValidationError(f"a user has {MOST_OF_A_USER} repositories at the most", limit=MOST_OF_A_USER)
        found = repositories.get(session, user_id=caller.user_id, owner=data.owner, name=data.name)
    return Response(_seen(found), status_code=HTTPStatus.CREATED if is_new else HTTPStatus.OK)


@get("/repos", sync_to_thread=True, tags=["scans"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_repositories(
    caller: NamedDependency[Caller], database: NamedDependency[Database], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RepositoryOut]:
    """List tracked repositories, the one tracked last first."""
    before = after(cursor, caller)
    with database.read() as session:
        found = repositories.listed(session, user_id=caller.sees, before=before, limit=limit + 1)
    return page(found, limit=limit, caller=caller, key=lambda repository: repository.id, item=_seen)


@post(
    "/repos/{owner:str}/{name:str}/scan",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    tags=["scans"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS),
)
def start_scan(
    *,
    owner: FromPath[str],
    name: FromPath[str],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    registry: NamedDependency[Registry],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
) -> Response[StartedOut]:
    """Search a repository for duplicate pull requests; while a scan of it is under way the answer is that one."""
    rates.take(caller)
    kind = registry.get(scans.INGEST)
    with database.write() as session:
        # Two callers at once are told of the same scan: the second one looks after the first one's commit.
        found = repositories.get(session, user_id=caller.user_id, owner=owner, name=name, lock=True)
        running = scans.under_way(session, repository_id=found.id)
        if running is None:
            scan_id = new_id()
            payload = kind.validate({"owner": found.owner, "name": found.name, "url": found.url})
            asked = admission.Submission(kind.name, kind.queue, payload, kind.max_attempts, subject=scan_id)
            (admitted,) = admission.submit(session, [admission.Unit(caller.user_id, [asked])])
            if isinstance(admitted, Exception):
                raise admitted
            scans.create(session, scan_id=scan_id, repository=found, now=database_now(session))
            started = StartedOut(scan_id, scans.QUEUED)
        else:
            started = StartedOut(running, scans.get(session, scan_id=running, user_id=caller.user_id).status)
    notifier.notify()
    return Response(started, headers={"Location": f"{PREFIX}/scans/{started.scan_id}"})


def _seen(repository: Repository) -> RepositoryOut:
    return RepositoryOut(
        id=repository.id,
        owner=repository.owner,
        name=repository.name,
        url=repository.url,
        created_at=repository.created_at,
        user=repository.user_id,
    )


ROUTES = [track_repository, list_repositories, start_scan]
