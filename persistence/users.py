"""Who may submit: tenants, users with their counters, and the tiers whose limits they carry."""

import re
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import keys, tables
from persistence.database import now as database_now
from persistence.errors import IllegalTransitionError, NotFoundError, ValidationError
from persistence.ids import new_id
from persistence.statements import run

# Names stand in URLs and logs, and come out of identity providers (`auth0|123`, an address of mail).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:|-]{0,99}")

ADMIN_USER, ADMIN_TENANT, ADMIN_TIER = "admin", "operator", "enterprise"


class Tenant(SQLModel, table=True):
    """A customer; the users of one tenant are colleagues and still do not see each other's jobs."""

    __tablename__ = "tenants"
    id: str = tables.id_key()
    name: str = Field(max_length=200, unique=True)
    created_at: datetime = tables.instant(nullable=False)


class Tier(SQLModel, table=True):
    """A named service level: its limits are rows, not code, and take effect at the next dispatch."""

    __tablename__ = "tiers"
    __table_args__ = (
        CheckConstraint("max_active > 0 AND max_running > 0", name="limits_positive"),
        CheckConstraint("weight > 0", name="weight_positive"),
    )
    name: str = Field(primary_key=True, max_length=100)
    max_active: int
    max_running: int
    max_payload_bytes: int
    max_items: int
    submits_per_minute: int
    weight: int
    changed_at: datetime = tables.instant(nullable=False)


class User(SQLModel, table=True):
    """A user, with the counters that admission and dispatch guard; they change only by what a fenced statement returns.

    `unfinished` counts queued and processing jobs, `held` slots, `ready` the jobs that wait in the lanes for nothing but a
    slot and a worker; `vtime` is the fair-order clock in seconds of work per weight.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("unfinished >= 0", name="unfinished_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("ready >= 0", name="ready_not_negative"),
        Index("ix_users_fair_order", "vtime", postgresql_where=text("ready > 0"), sqlite_where=text("ready > 0")),
        Index("ix_users_clock", "vtime"),
        # Room on each page for the new versions of rows that every dispatch rewrites.
        {"postgresql_with": {"fillfactor": 50}},
    )
    id: str = tables.id_key()
    name: str = Field(max_length=200, unique=True)
    tenant_id: str = tables.id_column("tenants.id")
    tier: str = Field(foreign_key="tiers.name", max_length=100)
    disabled_at: datetime | None = tables.instant()
    created_at: datetime = tables.instant(nullable=False)
    unfinished: int = 0
    held: int = 0
    ready: int = 0
    vtime: float = 0.0


SHIPPED_TIERS: dict[str, dict[str, int]] = {
    "free": {
        "max_active": 1,
        "max_running": 1,
        "max_payload_bytes": 64 * 1024,
        "max_items": 3,
        "submits_per_minute": 60,
        "weight": 1,
    },
    "pro": {
        "max_active": 100,
        "max_running": 5,
        "max_payload_bytes": 256 * 1024,
        "max_items": 10,
        "submits_per_minute": 1_200,
        "weight": 4,
    },
    "enterprise": {
        "max_active": 100_000,
        "max_running": 50,
        "max_payload_bytes": 1024 * 1024,
        "max_items": 50,
        "submits_per_minute": 60_000,
        "weight": 16,
    },
}


def is_name(text: str) -> bool:
    """Tell whether a text may name a tenant, a user or a tier."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str, *, field: str) -> str:
    """Give back a name that may stand for a tenant, a user or a tier.

    :raises ValidationError: it may not.
    """
    if not is_name(name):
        raise ValidationError(
            f"{field}: 1 to 100 of the characters A-Z a-z 0-9 . _ @ + : | -, the first a letter or a digit", field=field
        )
    return name


def put(session: Session, *, name: str, tenant: str, tier: str, disabled: bool | None = None) -> tuple[User, bool]:
    """Create a user, and the tenant when it is new, or change the user's tier.

    :param disabled: whether the user is kept out; None leaves it as it is.
    :returns: the user, and whether it was created.
    :raises ValidationError: a name is not valid or the tier does not exist.
    :raises IllegalTransitionError: the user belongs to another tenant.
    """
    check_name(name, field="user")
    check_name(tenant, field="tenant")
    if session.get(Tier, tier) is None:
        raise ValidationError(f"tier: there is no tier {check_name(tier, field='tier')}", field="tier")
    now = database_now(session)
    run(
        session,
        "INSERT INTO tenants (id, name, created_at) VALUES (:id, :name, :now) ON CONFLICT (name) DO NOTHING",
        id=new_id(),
        name=tenant,
        now=now,
    )
    created = run(
        session,
        """INSERT INTO users (id, name, tenant_id, tier, created_at, unfinished, held, ready, vtime)
        SELECT CAST(:id AS {uuid}), :name, t.id, :tier, :now, 0, 0, 0, 0 FROM tenants t WHERE t.name = :tenant
        ON CONFLICT (name) DO NOTHING RETURNING id""".replace("{uuid}", _uuid(session)),
        id=new_id(),
        name=name,
        tenant=tenant,
        tier=tier,
        now=now,
    ).one_or_none()
    changed = run(
        session,
        """UPDATE users SET tier = :tier,
            disabled_at = CASE WHEN :keep THEN disabled_at WHEN :disabled THEN coalesce(disabled_at, :now) END
        WHERE name = :name AND tenant_id = (SELECT id FROM tenants WHERE name = :tenant) RETURNING id""",
        name=name,
        tenant=tenant,
        tier=tier,
        keep=disabled is None,
        disabled=bool(disabled),
        now=now,
    ).one_or_none()
    if changed is None:
        raise IllegalTransitionError("the user belongs to another tenant, and that never changes")
    return find(session, name=name), created is not None


def find(session: Session, *, name: str) -> User:
    """Find a user by name.

    :raises NotFoundError: there is none.
    """
    user = session.exec(select(User).where(User.name == name).execution_options(populate_existing=True)).one_or_none()
    if user is None:
        raise NotFoundError
    return user


def page(session: Session, *, after: str | None, limit: int) -> list[tuple[User, str]]:
    """List users with their tenant's name, newest first; `after` is the id of the last one of the page before."""
    query = select(User, Tenant.name).join(Tenant, col(Tenant.id) == User.tenant_id)
    if after is not None:
        query = query.where(col(User.id) < after)
    return [(user, tenant) for user, tenant in session.exec(query.order_by(col(User.id).desc()).limit(limit))]


def tiers(session: Session, *, after: str | None = None, limit: int | None = None) -> list[Tier]:
    """List the tiers by name; `after` is the name of the last one of the page before."""
    query = select(Tier).order_by(col(Tier.name)).limit(limit)
    if after is not None:
        query = query.where(col(Tier.name) > after)
    return list(session.exec(query))


def find_tier(session: Session, *, name: str) -> Tier:
    """Find a tier by name.

    :raises NotFoundError: there is none.
    """
    tier = session.get(Tier, name)
    if tier is None:
        raise NotFoundError
    return tier


def put_tier(session: Session, *, name: str, limits: dict[str, int]) -> tuple[Tier, bool]:
    """Create a tier or change its limits, which count from the next request and dispatch on.

    :param limits: `max_active`, `max_running`, `max_payload_bytes`, `max_items`, `submits_per_minute` and `weight`.
    :returns: the tier, and whether it was created.
    :raises ValidationError: the name is not valid.
    """
    check_name(name, field="tier")
    now = database_now(session)
    names = ", ".join(limits)
    values = ", ".join(f":{limit}" for limit in limits)
    created = run(
        session,
        f"""INSERT INTO tiers (name, changed_at, {names}) VALUES (:name, :now, {values})
        ON CONFLICT (name) DO NOTHING RETURNING name""",
        name=name,
        now=now,
        **limits,
    ).one_or_none()
    if created is None:
        assignments = ", ".join(f"{limit} = :{limit}" for limit in limits)
        run(
            session,
            f"UPDATE tiers SET changed_at = :now, {assignments} WHERE name = :name",
            name=name,
            now=now,
            **limits,
        )
    return session.exec(select(Tier).where(Tier.name == name).execution_options(populate_existing=True)).one(), bool(created)


def ship_tiers(session: Session) -> None:
    """Put in the tiers that Greenroom comes with; those that are there, edited or not, stay as they are."""
    present = {tier.name for tier in tiers(session)}
    for name, limits in SHIPPED_TIERS.items():
        if name not in present:
            put_tier(session, name=name, limits=limits)


def ensure_admin(session: Session, *, admin_key: str | None) -> str | None:
    """See to it that the operator has a key.

    :param admin_key: the key that the operator chose; None makes one, unless an admin key is there already.
    :returns: the key that was made, to be shown once; None when none was.
    """
    ship_tiers(session)
    admin, _ = put(session, name=ADMIN_USER, tenant=ADMIN_TENANT, tier=ADMIN_TIER)
    if admin_key is not None:
        keys.fix(session, user_id=admin.id, key=admin_key)
        return None
    if keys.has_live(session, scope="admin"):
        return None
    _, key = keys.create(session, user_id=admin.id, scope="admin")
    return key


def _uuid(session: Session) -> str:
    return "uuid" if session.get_bind().dialect.name == "postgresql" else "varchar"
