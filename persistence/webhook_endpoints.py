"""Webhook endpoints: where users want to be told what happens to their jobs, with the secrets that sign what is sent there."""

import base64
import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import event_feed, tables
from persistence.database import now as database_now
from persistence.errors import NotFoundError, ValidationError
from persistence.ids import new_id
from persistence.statements import run

MOST_OF_USER = 20

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_SECRET_BYTES = 32
_LIVE = "disabled_at IS NULL AND deleted_at IS NULL"


class WebhookEndpoint(SQLModel, table=True):
    """One address of one user; it is told what happens after `since`, as far as its events name it.

    Secrets are kept as they are, for a signature needs them. `failures` counts tries since the last one that succeeded.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("ix_webhook_endpoints_user", "user_id", "id"),
        Index("ix_webhook_endpoints_live", "user_id", postgresql_where=text(_LIVE), sqlite_where=text(_LIVE)),
    )
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    url: str = Field(sa_column=Column(Text, nullable=False))
    events: str = tables.json_text(nullable=False)
    secret: str = Field(max_length=200)
    old_secret: str | None = Field(default=None, max_length=200)
    old_secret_until: datetime | None = tables.instant()
    since_xid: int = Field(sa_column=Column(_NUMBER, nullable=False))
    since_id: int = Field(sa_column=Column(_NUMBER, nullable=False))
    failures: int = 0
    created_at: datetime = tables.instant(nullable=False)
    disabled_at: datetime | None = tables.instant()
    disabled_reason: str | None = Field(default=None, max_length=200)
    # What is left of a deleted one goes when its deliveries have gone, which may be many.
    deleted_at: datetime | None = tables.instant()


class WebhookCursor(SQLModel, table=True):
    """The one place in the audit trail up to which deliveries have been written; it stands still while nobody wants any."""

    __tablename__ = "webhook_cursor"
    number: int = Field(primary_key=True)
    xid: int = Field(sa_column=Column(_NUMBER, nullable=False))
    transition_id: int = Field(sa_column=Column(_NUMBER, nullable=False))


def create(session: Session, *, user_id: str, url: str, events: Sequence[str]) -> WebhookEndpoint:
    """Register an endpoint, which is told what happens from now on.

    :param url: as it was checked.
    :param events: the names of the events that it wants.
    :raises ValidationError: the user has as many as one may have.
    """
    endpoint_id = new_id()
    run(
        session,
        """INSERT INTO webhook_endpoints (id, user_id, url, events, secret, since_xid, since_id, failures, created_at)
        VALUES (:id, :user, :url, :events, :secret, 0, 0, 0, :now)""",
        id=endpoint_id,
        user=user_id,
        url=url,
        events=json.dumps(list(events)),
        secret=_new_secret(),
        now=database_now(session),
    )
    _begin(session, endpoint_id)
    sql = "SELECT count(*) FROM webhook_endpoints WHERE user_id = :user AND deleted_at IS NULL"
    if run(session, sql, user=user_id).scalar_one() > MOST_OF_USER:
        raise ValidationError(f"a user may have {MOST_OF_USER} webhook endpoints", limit=MOST_OF_USER)
    return get(session, endpoint_id=endpoint_id, user_id=user_id)


def change(
    session: Session,
    *,
    endpoint_id: str,
    user_id: str | None,
    url: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change an endpoint; one that is enabled again is told what happens from then on, and what was still to be sent.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such endpoint.
    """
    before = get(session, endpoint_id=endpoint_id, user_id=user_id)
    run(
        session,
        """UPDATE webhook_endpoints SET url = coalesce(CAST(:url AS varchar), url),
            events = coalesce(CAST(:events AS varchar), events)
        WHERE id = :id AND deleted_at IS NULL""",
        id=endpoint_id,
        url=url,
        events=None if events is None else json.dumps(list(events)),
    )
    if enabled and before.disabled_at is not None:
        run(
            session,
            "UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failures = 0 WHERE id = :id",
            id=endpoint_id,
        )
        _begin(session, endpoint_id)
    elif enabled is False:
        disable(session, endpoint_id=endpoint_id, reason="disabled by its owner", now=database_now(session))
    return get(session, endpoint_id=endpoint_id, user_id=user_id)


def disable(session: Session, *, endpoint_id: str, reason: str, now: Any) -> None:
    """Send nothing to an endpoint any more; one that is disabled already keeps its reason."""
    run(
        session,
        "UPDATE webhook_endpoints SET disabled_at = :now, disabled_reason = :reason WHERE id = :id AND disabled_at IS NULL",
        id=endpoint_id,
        reason=reason,
        now=now,
    )


def rotate(session: Session, *, endpoint_id: str, user_id: str | None, overlap_seconds: float) -> WebhookEndpoint:
    """Give an endpoint a new secret; for a time what is sent is signed with the one before it, too.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such endpoint.
    """
    get(session, endpoint_id=endpoint_id, user_id=user_id)
    run(
        session,
        """UPDATE webhook_endpoints SET old_secret = secret, old_secret_until = moment_after(:now, :overlap), secret = :secret
        WHERE id = :id AND deleted_at IS NULL""",
        id=endpoint_id,
        now=database_now(session),
        overlap=overlap_seconds,
        secret=_new_secret(),
    )
    return get(session, endpoint_id=endpoint_id, user_id=user_id)


def delete(session: Session, *, endpoint_id: str, user_id: str | None) -> None:
    """Delete an endpoint with its secrets; nothing is sent there any more.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such endpoint.
    """
    get(session, endpoint_id=endpoint_id, user_id=user_id)
    run(
        session,
        """UPDATE webhook_endpoints SET deleted_at = :now, url = '', secret = '', old_secret = NULL
        WHERE id = :id AND deleted_at IS NULL""",
        id=endpoint_id,
        now=database_now(session),
    )


def get(session: Session, *, endpoint_id: str, user_id: str | None) -> WebhookEndpoint:
    """Read one endpoint.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such endpoint.
    """
    statement = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, col(WebhookEndpoint.deleted_at).is_(None))
    if user_id is not None:
        statement = statement.where(WebhookEndpoint.user_id == user_id)
    endpoint = session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if endpoint is None:
        raise NotFoundError
    return endpoint


def page(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Sequence[WebhookEndpoint]:
    """List endpoints, newest first.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    statement = select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))
    statement = statement.order_by(col(WebhookEndpoint.id).desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(WebhookEndpoint.user_id == user_id)
    if before is not None:
        statement = statement.where(col(WebhookEndpoint.id) < before)
    return session.scalars(statement).all()


def _begin(session: Session, endpoint_id: str) -> None:
    """Let an endpoint begin here; the cursor jumps ahead where nobody else needs what lies between.

    The cursor's lock lines up all who begin: each sees those before it, and what comes after this is read for all of them.
    """
    run(session, "INSERT INTO webhook_cursor (number, xid, transition_id) VALUES (1, 0, 0) ON CONFLICT DO NOTHING")
    run(session, "UPDATE webhook_cursor SET number = 1 WHERE number = 1")
    here = event_feed.here(session)
    run(
        session,
        f"""UPDATE webhook_cursor SET xid = :xid, transition_id = :last WHERE (xid, transition_id) < (:xid, :last)
        AND NOT EXISTS (SELECT 1 FROM webhook_endpoints WHERE {_LIVE} AND id <> :id)""",
        id=endpoint_id,
        xid=here.xid,
        last=here.id,
    )
    run(
        session,
        "UPDATE webhook_endpoints SET since_xid = :xid, since_id = :last WHERE id = :id",
        id=endpoint_id,
        xid=here.xid,
        last=here.id,
    )


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
