"""Webhook deliveries: one event for one endpoint each, to be looked at, sent again and pruned."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables, webhook_endpoints
from persistence.batches import among, many
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.errors import IllegalTransitionError, NotFoundError
from persistence.ids import new_id
from persistence.statements import run

PENDING = "status = 'pending'"


class DeliveryStatus(StrEnum):
    """How a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(SQLModel, table=True):
    """One event for one endpoint; its id is the `webhook-id` of every try.

    `attempts` counts all tries, `tries` those since it was last begun, `claim_no` is the fence of who sends it. While it is being
    sent, `next_at` is when somebody else may, so that a sender that dies loses nothing.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        tables.one_of("status", DeliveryStatus, name="status"),
        UniqueConstraint("endpoint_id", "job_id", "seq"),
        Index("ix_webhook_deliveries_list", "endpoint_id", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "next_at",
            postgresql_where=text(PENDING),
            sqlite_where=text(PENDING),
        ),
        Index("ix_webhook_deliveries_created", "created_at"),
    )
    id: str = tables.id_key()
    endpoint_id: str = tables.id_column("webhook_endpoints.id")
    user_id: str = tables.id_column()
    job_id: str | None = tables.id_column(nullable=True)
    seq: int | None = None
    event: str = Field(max_length=50)
    body: str = tables.json_text(nullable=False)
    status: str = Field(max_length=20)
    attempts: int
    tries: int
    claim_no: int
    next_at: datetime | None = tables.instant()
    sending_until: datetime | None = tables.instant()
    created_at: datetime = tables.instant(nullable=False)
    tried_at: datetime | None = tables.instant()
    delivered_at: datetime | None = tables.instant()
    response_status: int | None = None
    error: str | None = Field(default=None, sa_column=Column(Text))


def test(session: Session, *, endpoint_id: str, user_id: str | None, event: str) -> WebhookDelivery:
    """Put a delivery that is about nothing but itself into an endpoint's lane.

    :param user_id: whose the endpoint must be; None for anybody's.
    :raises NotFoundError: there is no such endpoint.
    :raises IllegalTransitionError: it is disabled.
    """
    endpoint = webhook_endpoints.get(session, endpoint_id=endpoint_id, user_id=user_id)
    _refuse_disabled(endpoint)
    now = as_instant(database_now(session))
    assert now is not None  # noqa: S101 - a clock always answers
    body = msgspec.json.encode({"type": event, "timestamp": now, "data": {"webhook": endpoint.id}}).decode()
    delivery = WebhookDelivery(
        id=new_id(), endpoint_id=endpoint.id, user_id=endpoint.user_id, event=event, body=body,
        status=DeliveryStatus.PENDING, attempts=0, tries=0, claim_no=0, next_at=now, created_at=now,
    )  # fmt: skip
    session.add(delivery)
    session.flush()
    return delivery


def redeliver(session: Session, *, delivery_id: str, user_id: str | None) -> WebhookDelivery:
    """Send a delivery again, with the same id and body and all of its tries; one that is being sent is left to that.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such delivery.
    :raises IllegalTransitionError: its endpoint is disabled.
    """
    delivery = get(session, delivery_id=delivery_id, user_id=user_id)
    _refuse_disabled(webhook_endpoints.get(session, endpoint_id=delivery.endpoint_id, user_id=user_id))
    run(
        session,
        f"""UPDATE webhook_deliveries SET status = 'pending', tries = 0, claim_no = claim_no + 1, next_at = :now,
            delivered_at = NULL
        WHERE id = :id AND NOT ({PENDING} AND sending_until IS NOT NULL AND sending_until > :now)""",
        id=delivery_id,
        now=database_now(session),
    )
    return get(session, delivery_id=delivery_id, user_id=user_id)


def get(session: Session, *, delivery_id: str, user_id: str | None) -> WebhookDelivery:
    """Read one delivery of an endpoint that is still there.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such delivery.
    """
    statement = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id)
    if user_id is not None:
        statement = statement.where(WebhookDelivery.user_id == user_id)
    delivery = session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if delivery is None:
        raise NotFoundError
    webhook_endpoints.get(session, endpoint_id=delivery.endpoint_id, user_id=user_id)
    return delivery


def page(
    session: Session, *, endpoint_id: str, status: DeliveryStatus | None, before: str | None, limit: int
) -> Sequence[WebhookDelivery]:
    """List an endpoint's deliveries, newest first.

    :param before: the id before which to begin.
    """
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    statement = statement.order_by(col(WebhookDelivery.id).desc()).limit(limit)
    if status is not None:
        statement = statement.where(WebhookDelivery.status == str(status))
    if before is not None:
        statement = statement.where(col(WebhookDelivery.id) < before)
    return session.scalars(statement).all()


def prune(session: Session, *, older_than_seconds: float, most: int = 500) -> int:
    """Delete some old deliveries and some of those whose endpoint was deleted, and then such endpoints.

    :param most: so many of each at most; it bounds how long the transaction takes.
    :returns: how many deliveries.
    """
    now = database_now(session)
    old = "SELECT id FROM webhook_deliveries WHERE created_at < moment_after(:now, :age)"
    orphaned = """SELECT d.id FROM webhook_endpoints e JOIN webhook_deliveries d ON d.endpoint_id = e.id
        WHERE e.deleted_at IS NOT NULL"""
    ids = {
        str(row.id)
        for row in [
            *run(session, f"{old} LIMIT :most", now=now, age=-older_than_seconds, most=most),
            *run(session, f"{orphaned} LIMIT :most", most=most),
        ]
    }
    if ids:
        run(session, f"DELETE FROM webhook_deliveries WHERE id {among(session, 'ids')}", ids=many(session, sorted(ids)))
    run(
        session,
        # Whoever had read the endpoint before it was deleted has long written its deliveries.
        """DELETE FROM webhook_endpoints WHERE deleted_at IS NOT NULL AND deleted_at < moment_after(:now, -3600)
        AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = webhook_endpoints.id)""",
        now=now,
    )
    return len(ids)


def _refuse_disabled(endpoint: webhook_endpoints.WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise IllegalTransitionError("the endpoint is disabled: enable it first")
