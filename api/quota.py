"""Quota: what the caller's tier allows, and how much of it is used."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from api.dependencies import Caller
from api.limits import SubmitRates
from api.problems import specs
from api.tiers import TierLimits
from persistence import users
from persistence.database import Database


class Used(msgspec.Struct):
    """What is used: of `max_active`, of `max_running`, and of `submits_per_minute` in this process."""

    active: int
    running: int
    submits_this_minute: int


class Quota(msgspec.Struct):
    """The caller's tier with its limits, and what is used of them."""

    user: str
    tenant: str
    tier: str
    limits: TierLimits
    used: Used


@get("/quota", sync_to_thread=True, tags=["quota"], responses=specs())
def own_quota(database: NamedDependency[Database], caller: NamedDependency[Caller], rates: NamedDependency[SubmitRates]) -> Quota:
    """Tell the caller's limits and what is used of them."""
    with database.read() as session:
        user = users.find(session, name=caller.user_name)
        tier = users.find_tier(session, name=user.tier)
    return Quota(
        user=caller.user_name,
        tenant=caller.tenant,
        tier=tier.name,
        limits=msgspec.convert(tier, TierLimits, from_attributes=True),
        used=Used(active=user.unfinished, running=user.held, submits_this_minute=rates.used(caller)),
    )


ROUTES = [own_quota]
