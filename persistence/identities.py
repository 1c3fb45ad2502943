"""Identities: who stands behind a key or a token, with the tier whose limits count for them now."""

from dataclasses import dataclass, replace

from sqlalchemy import func
from sqlmodel import Session, col, select

from persistence.browser_sessions import BrowserSession
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.keys import ApiKey
from persistence.users import Tenant, Tier, User


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the API knows one for the length of a request.

    :param scope: `user` or `admin`; empty where no key says so.
    :param tier: the tier's row; read only.
    :param expires_in_seconds: how long the key or the session is still good, by the database's clock; None for good.
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
    row = session.exec(
        select(User, Tenant.name, Tier, ApiKey)
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
    user, tenant, tier, key = row
    left = None
    if key.expires_at is not None:
        now = as_instant(database_now(session))
        left = 0.0 if now is None else (key.expires_at - now).total_seconds()
    return Identity(user.id, user.name, user.tenant_id, tenant, tier, key.scope, left)


def of_browser_session(session: Session, *, secret_hash: str) -> Identity | None:
    """Find who has signed in with this session; None for one that is over or whose key is no longer good."""
    found = session.exec(
        select(BrowserSession)
        .where(BrowserSession.secret_hash == secret_hash)
        .where(col(BrowserSession.expires_at) > func.clock_timestamp())
    ).one_or_none()
    identity = None if found is None else of_key(session, key_id=found.key_id)
    now = as_instant(database_now(session))
    if found is None or identity is None or now is None:
        return None
    left = (found.expires_at - now).total_seconds()
    if identity.expires_in_seconds is not None:
        left = min(left, identity.expires_in_seconds)
    return replace(identity, expires_in_seconds=left)


def of_user(session: Session, *, name: str) -> Identity | None:
    """Find a user by name; None for one who does not exist or is disabled."""
    row = session.exec(
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
