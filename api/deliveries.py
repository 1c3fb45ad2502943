"""Deliveries: what was sent to webhooks or is to be sent, and what came of it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from api.dependencies import Caller
from api.limits import SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.wire import id_of, raw
from persistence import webhook_deliveries, webhook_endpoints
from persistence.database import Database
from persistence.webhook_deliveries import DeliveryStatus, WebhookDelivery
from persistence.webhook_events import TEST_EVENT


class DeliveryOut(msgspec.Struct, kw_only=True):
    """One event on its way to one endpoint; `id` is the `webhook-id` of every try."""

    id: str
    webhook: str
    event: str
    job: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    response_status: int | None
    error: str | None
    payload: msgspec.Raw


@post(
    "/webhooks/{id:str}/test",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    tags=["webhooks"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS),
)
def test_webhook(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
) -> DeliveryOut:
    """Send an event of the name `webhook.test`, on the same ways as all others."""
    rates.take(caller)
    with database.write() as session:
        return _seen(webhook_deliveries.test(session, endpoint_id=id_of(id), user_id=caller.sees, event=TEST_EVENT))


@get(
    "/webhooks/{id:str}/deliveries",
    sync_to_thread=True,
    tags=["webhooks"],
    responses=specs(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
def list_deliveries(
    *,
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    status: Annotated[DeliveryStatus | None, QueryParameter(name="status")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeliveryOut]:
    """List what is or was to be delivered to an endpoint, newest first."""
    before = after(cursor, caller)
    with database.read() as session:
        endpoint = webhook_endpoints.get(session, endpoint_id=id_of(id), user_id=caller.sees)
        rows = webhook_deliveries.page(session, endpoint_id=endpoint.id, status=status, before=before, limit=limit + 1)
    return page(rows, limit=limit, caller=caller, key=lambda row: row.id, item=_seen)


@get("/deliveries/{id:str}", sync_to_thread=True, tags=["webhooks"], responses=specs(HTTPStatus.NOT_FOUND))
def read_delivery(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> DeliveryOut:
    """Read a delivery."""
    with database.read() as session:
        return _seen(webhook_deliveries.get(session, delivery_id=id_of(id), user_id=caller.sees))


@post(
    "/deliveries/{id:str}/redeliver",
    sync_to_thread=True,
    status_code=HTTPStatus.ACCEPTED,
    tags=["webhooks"],
    responses=specs(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS),
)
def redeliver(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    rates: NamedDependency[SubmitRates],
    database: NamedDependency[Database],
) -> DeliveryOut:
    """Send a delivery again now, with the same id and body and all of its tries."""
    rates.take(caller)
    with database.write() as session:
        return _seen(webhook_deliveries.redeliver(session, delivery_id=id_of(id), user_id=caller.sees))


def _seen(row: WebhookDelivery) -> DeliveryOut:
    return DeliveryOut(
        id=row.id,
        webhook=row.endpoint_id,
        event=row.event,
        job=row.job_id,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        next_attempt_at=row.next_at,
        created_at=row.created_at,
        last_attempt_at=row.tried_at,
        delivered_at=row.delivered_at,
        response_status=row.response_status,
        error=row.error,
        payload=raw(row.body),
    )


ROUTES = [test_webhook, list_deliveries, read_delivery, redeliver]
