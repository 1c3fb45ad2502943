"""Greenroom's API as its callers meet it: the real application behind the real server on a free port of 127.0.0.1."""

import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import httpx
import structlog

from actors import REGISTRY
from actors.registry import JobType
from api.server import listen, make_server
from api.settings import ApiSettings, JwtSettings
from middleware import logs
from middleware.settings import LogSettings, WebhookSettings
from persistence import users
from persistence.database import Database
from persistence.settings import DatabaseSettings

PATIENCE_SECONDS = 20
# A job type for tests that are not about any of the real ones.
ECHO = "tests.echo"


@dataclass
class Served:
    """A running API, with the operator's client and clients for whoever a test needs."""

    url: str
    database: Database
    admin_key: str
    stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def admin(self) -> httpx.Client:
        """A client with the operator's key."""
        return self.client(self.admin_key)

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        """A client with a key, or without any."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        client = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers=headers,
            timeout=PATIENCE_SECONDS,
            trust_env=False,
            verify=False,  # noqa: S501 - plain HTTP, and reading all certificates takes longer than most tests
        )
        return self.stack.enter_context(client)

    def put_user(self, name: str, *, tenant: str = "acme", tier: str = "pro") -> None:
        """Create or change a user."""
        answer = self.admin.put(f"/users/{name}", json={"tenant": tenant, "tier": tier})
        assert answer.status_code in {200, 201}, answer.text

    def make_key(self, name: str, **asked: str) -> dict[str, str]:
        """Make a key for a user."""
        answer = self.admin.post(f"/users/{name}/keys", json=asked)
        assert answer.status_code == 201, answer.text
        made: dict[str, str] = answer.json()
        return made

    def user(self, name: str, *, tenant: str = "acme", tier: str = "pro") -> httpx.Client:
        """A client with a new key of a user who is made if need be."""
        self.put_user(name, tenant=tenant, tier=tier)
        return self.client(self.make_key(name)["key"])

    def connect(self) -> socket.socket:
        """A bare connection to the server."""
        host, port = self.url.removeprefix("http://").split(":")
        return self.stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS))


@contextmanager
def served(
    database_url: str,
    *,
    settings: ApiSettings | None = None,
    jwt: JwtSettings | None = None,
    webhooks: WebhookSettings | None = None,
) -> Iterator[Served]:
    """Serve the API on a migrated database for the length of a block."""
    settings = settings or ApiSettings(port=0)
    if ECHO not in REGISTRY.queues():
        REGISTRY.add(JobType(ECHO, "Gives back its payload.", payload_type=dict[str, Any]))
    database = Database(DatabaseSettings(), url=database_url)
    with database.write() as session:
        given = settings.admin_key.get_secret_value() if settings.admin_key else None
        admin_key = users.ensure_admin(session, admin_key=given) or given
    assert admin_key is not None
    server = make_server(settings, jwt or JwtSettings(), database, webhooks)
    with listen(settings.host, settings.port) as listener, ExitStack() as stack:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="served")
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", database, admin_key, stack)
        finally:
            stack.close()
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
            database.close()
    assert not thread.is_alive()


@contextmanager
def captured_logs(log_format: Literal["json", "console"] = "json") -> Iterator[io.StringIO]:
    """Collect everything that the process logs, down to debug, as it would be written."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    logs.configure(LogSettings(log_format=log_format, log_level="debug"), stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.configure(**before)
