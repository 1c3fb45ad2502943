"""The application: where the API's parts are put together, once a process."""

import importlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import asyncio

from litestar import Litestar, Router
from litestar.concurrency import set_asyncio_executor
from litestar.datastructures import State
from litestar.di import Provide

from api import health, keys, quota, tiers, users
from api.auth import Authentication, Authenticator
from api.dependencies import provided
from api.docs import StrictStructs, openapi
from api.edge import Edge
from api.limits import BODY_BYTES, SubmitRates
from api.problems import respond
from api.requests import StrictRequest, right_media_type
from api.settings import ApiSettings, JwtSettings
from api.tokens import Tokens
from actors import REGISTRY
from persistence.database import Database
from persistence.ledger import Ledger
from persistence.wakeup import Notifier

# Room for a form's other fields and the lines between its parts.
_FORM_BYTES = 64 * 1024


def create_app(settings: ApiSettings, jwt: JwtSettings, *, database: Database) -> Litestar:
    """Put the API together; its ledger starts and ends with the application's life.

    :param database: made in this process; closed by whoever made it.
    """
    notifier = Notifier(database)
    ledger = Ledger(database, after_commit=notifier.notify)
    authenticator = Authenticator(database, Tokens(jwt) if jwt.accepts_tokens else None)
    rates = SubmitRates()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        del app
        executor = ThreadPoolExecutor(settings.api_threads, thread_name_prefix="greenroom-api")
        asyncio.get_running_loop().set_default_executor(executor)
        set_asyncio_executor(executor)
        ledger.start()
        try:
            yield
        finally:
            await asyncio.to_thread(ledger.close)
            await asyncio.to_thread(notifier.close)

    def provide_authenticator() -> Authenticator:
        return authenticator

    app = Litestar(
        route_handlers=[*health.ROUTES, _version_one(settings)],
        dependencies=provided(database=database, ledger=ledger, registry=REGISTRY, rates=rates, settings=settings)
        | {"authenticator": Provide(provide_authenticator, sync_to_thread=False)},
        exception_handlers={Exception: respond},
        guards=[right_media_type],
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=openapi(),
        plugins=[StrictStructs()],
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES,
        state=State({"authenticator": authenticator}, deep_copy=False),
    )
    app.asgi_handler = Edge(app.asgi_handler, allowed_hosts=settings.allowed_hosts)
    return app


def _version_one(settings: ApiSettings) -> Router:
    handlers: list[Any] = [*users.ROUTES, *keys.ROUTES, *tiers.ROUTES, *quota.ROUTES]
    for name in ("jobs", "events", "dead_letters", "queue", "job_types"):
        if find_spec(f"api.{name}"):
            handlers += importlib.import_module(f"api.{name}").ROUTES
    if find_spec("api.books"):
        uploads = importlib.import_module("api.books").ROUTES
        handlers.append(Router("/", route_handlers=uploads, request_max_body_size=settings.upload_bytes + _FORM_BYTES))
    return Router("/api/v1", route_handlers=handlers, middleware=[Authentication()])
