"""Webhooks: endpoints that users register."""

import json
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
import structlog
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.dependencies import Caller
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.wire import id_of
from middleware import targets
from middleware.settings import WebhookSettings
from middleware.targets import TargetRefusedError
from persistence import webhook_endpoints
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.webhook_endpoints import WebhookEndpoint

log = structlog.get_logger(__name__)

_MOST_OVERLAP_SECONDS = 30 * 86_400

EventName = Literal["job.enqueued", "job.active", "job.retrying", "job.completed", "job.failed", "job.cancelled"]
_Events = Annotated[list[EventName], msgspec.Meta(min_length=1, max_length=20)]
_Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class WebhookIn(msgspec.Struct, forbid_unknown_fields=True):
    """Where to send what; without a word on it, that jobs were completed and that they failed."""

    url: _Url
    events: _Events = msgspec.field(default_factory=lambda: ["job.completed", "job.failed"])


class WebhookChangeIn(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of an endpoint; what is left out stays."""

    url: _Url | None = None
    events: _Events | None = None
    enabled: bool | None = None


class RotationIn(msgspec.Struct, forbid_unknown_fields=True):
    """For how long what is sent is signed with the old secret, too."""

    overlap_seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST_OVERLAP_SECONDS)] = 86_400.0


class WebhookOut(msgspec.Struct, kw_only=True):
    """An endpoint without its secret; `failures` counts the tries since the last one that succeeded."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    failures: int
    old_secret_until: datetime | None
    created_at: datetime
    user: str


class NewSecretOut(WebhookOut, kw_only=True):
    """An endpoint with the secret that was just made, which is shown this once."""

    secret: str


@post(
    "/webhooks",
    sync_to_thread=True,
    tags=["webhooks"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
)
def create_webhook(
    data: JSONBody[WebhookIn],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    webhook_settings: NamedDependency[WebhookSettings],
) -> NewSecretOut:
    """Register an endpoint for the events of one's own jobs from now on; the secret is shown this once."""
    _check(data.url, webhook_settings)
    with database.write() as session:
        row = webhook_endpoints.create(session, user_id=caller.user_id, url=data.url, events=_each_once(data.events))
    log.info("webhook.created", endpoint=row.id, user=caller.user_id)
    return _with_secret(row)


@get("/webhooks", sync_to_thread=True, tags=["webhooks"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_webhooks(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[WebhookOut]:
    """List endpoints, newest first."""
    before = after(cursor, caller)
    with database.read() as session:
        rows = webhook_endpoints.page(session, user_id=caller.sees, before=before, limit=limit + 1)
    return page(rows, limit=limit, caller=caller, key=lambda row: row.id, item=_seen)


@get("/webhooks/{id:str}", sync_to_thread=True, tags=["webhooks"], responses=specs(HTTPStatus.NOT_FOUND))
def read_webhook(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> WebhookOut:
    """Read an endpoint."""
    with database.read() as session:
        return _seen(webhook_endpoints.get(session, endpoint_id=id_of(id), user_id=caller.sees))


@patch(
    "/webhooks/{id:str}",
    sync_to_thread=True,
    tags=["webhooks"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
)
def change_webhook(
    id: FromPath[str],
    data: JSONBody[WebhookChangeIn],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    webhook_settings: NamedDependency[WebhookSettings],
) -> WebhookOut:
    """Change an endpoint, or enable it again: it is told what happens from then on."""
    endpoint_id = id_of(id)
    if data.url is not None:
        _check(data.url, webhook_settings)
    events = None if data.events is None else _each_once(data.events)
    with database.write() as session:
        row = webhook_endpoints.change(
            session, endpoint_id=endpoint_id, user_id=caller.sees, url=data.url, events=events, enabled=data.enabled
        )
    return _seen(row)


@delete("/webhooks/{id:str}", sync_to_thread=True, tags=["webhooks"], responses=specs(HTTPStatus.NOT_FOUND))
def delete_webhook(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> None:
    """Delete an endpoint; what was still to be sent there is not sent."""
    with database.write() as session:
        webhook_endpoints.delete(session, endpoint_id=id_of(id), user_id=caller.sees)


@post(
    "/webhooks/{id:str}/rotate",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    tags=["webhooks"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
def rotate_secret(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    data: JSONBody[RotationIn | None] = None,
) -> NewSecretOut:
    """Make a new secret; for a time, a day unless told otherwise, what is sent is signed with both."""
    overlap = (data or RotationIn()).overlap_seconds
    with database.write() as session:
        row = webhook_endpoints.rotate(session, endpoint_id=id_of(id), user_id=caller.sees, overlap_seconds=overlap)
    log.info("webhook.rotated", endpoint=row.id, by=caller.user_id)
    return _with_secret(row)


def _check(url: str, settings: WebhookSettings) -> None:
    """Refuse what could never be sent to.

    No name is looked up here, which may take its time: what it leads to is judged when it is connected to. Where the operator has
    allowed networks, any name may turn out to be of one of them.
    """
    try:
        target = targets.parse(url)
        if target.address is not None or not settings.allow:
            targets.check(target, [] if target.address is None else [target.address], allowed=settings.allow)
    except TargetRefusedError as refusal:
        raise ValidationError(f"url: {refusal}", field="url") from None


def _each_once(events: list[EventName]) -> list[str]:
    return list(dict.fromkeys(events))


def _seen(row: WebhookEndpoint) -> WebhookOut:
    return WebhookOut(
        id=row.id,
        url=row.url,
        events=json.loads(row.events),
        enabled=row.disabled_at is None,
        disabled_reason=row.disabled_reason,
        disabled_at=row.disabled_at,
        failures=row.failures,
        old_secret_until=row.old_secret_until,
        created_at=row.created_at,
        user=row.user_id,
    )


def _with_secret(row: WebhookEndpoint) -> NewSecretOut:
    return NewSecretOut(**msgspec.structs.asdict(_seen(row)), secret=row.secret)


ROUTES = [
    create_webhook,
    list_webhooks,
    read_webhook,
    change_webhook,
    delete_webhook,
    rotate_secret,
]
