"""The application: where the API's parts are put together, once a process."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from litestar import Litestar, Router
from litestar.datastructures import State

from actors import REGISTRY
from actors.settings import ScanSettings
from api import (
    books,
    dead_letters,
    deliveries,
    evaluations,
    events,
    health,
    job_types,
    jobs,
    keys,
    plans,
    queue,
    quota,
    repos,
    runs,
    scans,
    schedules,
    sessions,
    tiers,
    users,
    webhooks,
)
from api.auth import Authentication, Authenticator
from api.dependencies import provided
from api.docs import StrictStructs, openapi
from api.edge import Edge
from api.feed import EventFeed
from api.graphql import endpoint
from api.limits import BODY_BYTES, SubmitRates
from api.problems import respond
from api.requests import StrictRequest, right_media_type
from api.settings import ApiSettings, JwtSettings
from api.watch import Watch
from api.web import assets, pages
from middleware.settings import WebhookSettings
from persistence.database import Database
from persistence.environment import load
from persistence.ledger import Ledger
from persistence.wakeup import Notifier

if TYPE_CHECKING:
    from api.tokens import Tokens

# Room for a form's other fields and the lines between its parts.
_FORM_BYTES = 64 * 1024


def create_app(
    settings: ApiSettings, jwt: JwtSettings, *, database: Database, webhook_settings: WebhookSettings | None = None
) -> Litestar:
    """Put the API together; its ledger starts and ends with the application's life.

    :param webhook_settings: where webhooks may go; the defaults if not given.
    :param database: made in this process; closed by whoever made it.
    """
    notifier = Notifier(database)
    ledger = Ledger(database, announces=True)
    feed = EventFeed(database)
    watch = Watch(ledger)
    authenticator = Authenticator(database, _tokens(jwt))

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        del app
        # Handlers and look-ups share these threads; without it asyncio takes a few more than there are cores.
        executor = ThreadPoolExecutor(settings.api_threads, thread_name_prefix="greenroom-api")
        asyncio.get_running_loop().set_default_executor(executor)
        ledger.start()
        watch.start()
        try:
            yield
        finally:
            for part in (feed, watch, ledger, notifier):
                await asyncio.to_thread(part.close)

    app = Litestar(
        route_handlers=[*health.ROUTES, *sessions.ROUTES, *pages.ROUTES, *assets.ROUTES, _version_one(settings), _graphql()],
        dependencies=provided(
            authenticator=authenticator,
            database=database,
            feed=feed,
            ledger=ledger,
            notifier=notifier,
            rates=SubmitRates(),
            registry=REGISTRY,
            scan_settings=load(ScanSettings),
            settings=settings,
            webhook_settings=webhook_settings or WebhookSettings(),
        ),
        exception_handlers={Exception: respond},
        guards=[right_media_type],
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=openapi(),
        plugins=[StrictStructs()],
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES,
        # What hangs on the application and not on a route, for Litestar copies routes.
        state=State({"authenticator": authenticator, "feed": feed}, deep_copy=False),
    )
    app.asgi_handler = Edge(app.asgi_handler, allowed_hosts=settings.allowed_hosts)
    return app


def _tokens(settings: JwtSettings) -> "Tokens | None":
    if not settings.accepts_tokens:
        return None
    from api.tokens import Tokens

    return Tokens(settings)


def _version_one(settings: ApiSettings) -> Router:
    modules = (
        dead_letters,
        deliveries,
        evaluations,
        events,
        job_types,
        jobs,
        keys,
        plans,
        queue,
        quota,
        repos,
        runs,
        scans,
        schedules,
        tiers,
        users,
        webhooks,
    )
    handlers = [handler for module in modules for handler in module.ROUTES]
    uploads = Router("/", route_handlers=books.ROUTES, request_max_body_size=settings.upload_bytes + _FORM_BYTES)
    return Router("/api/v1", route_handlers=[*handlers, uploads], middleware=[Authentication()])


def _graphql() -> Router:
    return Router("/", route_handlers=endpoint.ROUTES, middleware=[Authentication()])
