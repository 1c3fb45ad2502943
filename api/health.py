"""Health: whether the process runs, and whether it can do its work."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from api.problems import specs
from persistence.database import Database
from persistence.database import now as database_now


class Health(msgspec.Struct):
    """How the process is."""

    status: str


@get("/health/live", sync_to_thread=False, security=[{}], tags=["health"])
def live() -> Health:
    """Answer as long as the process runs."""
    return Health("ok")


@get(
    "/health/ready",
    sync_to_thread=True,
    security=[{}],
    tags=["health"],
    responses=specs(public=True),
)
def ready(database: NamedDependency[Database]) -> Health:
    """Answer when the database does."""
    with database.read() as session:
        database_now(session)
    return Health("ok")


ROUTES = [live, ready]
