"""Identities: who stands behind a key or a token, with the tier whose limits count for them now."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, type_coerce
from sqlmodel import Session, col, select

from persistence.columns import Instant
from persistence.keys import ApiKey
from persistence.users import Tenant, Tier, User


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the API knows one for the length of a request.

    :param scope: `user` or `admin`; empty where no key says so.
    :param tier: the tier's row; read only.
    :param expires_in_seconds: how long the key is still good, by the database's clock; None for good.
    """

    user_id: str
    user_name: str
    tenant_id: str
    tenant: str
    tier: Tier
    scope: str = ""
    expires_in_seconds: float | None = None


def of_key(session: Session, *, key_id: str) -> Identity | None:
    """Find whose live key this is; None for a key that is revoked or has expired, and for a disabled user."""
    row = session.execute(
        select(User, Tenant.name, Tier, ApiKey, type_coerce(func.clock_timestamp(), Instant))  # type: ignore[call-overload]
        .join(ApiKey, col(ApiKey.user_id) == User.id)
        .join(Tenant, col(Tenant.id) == User.tenant_id)
        .join(Tier, col(Tier.name) == User.tier)
        .where(ApiKey.id == key_id)
        .where(col(ApiKey.revoked_at).is_(None))
        .where(col(User.disabled_at).is_(None))
        .where(col(ApiKey.expires_at).is_(None) | (col(ApiKey.expires_at) > func.clock_timestamp()))
    ).one_or_none()
    if row is None:
        return None
    user, tenant, tier, key, now = row
    return Identity(user.id, user.name, user.tenant_id, tenant, tier, key.scope, _seconds(key.expires_at, now))


def of_user(session: Session, *, name: str) -> Identity | None:
    """Find a user by name; None for one who does not exist or is disabled."""
    row = session.execute(
        select(User, Tenant.name, Tier)
        .join(Tenant, col(Tenant.id) == User.tenant_id)
        .join(Tier, col(Tier.name) == User.tier)
        .where(User.name == name)
        .where(col(User.disabled_at).is_(None))
    ).one_or_none()
    if row is None:
        return None
    user, tenant, tier = row
    return Identity(user.id, user.name, user.tenant_id, tenant, tier)


def _seconds(until: datetime | None, now: datetime) -> float | None:
    return None if until is None else (until - now).total_seconds()
