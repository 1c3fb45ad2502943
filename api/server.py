"""The server: uvicorn in this process with our application, our limits of time and our logs."""

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from uvicorn.config import Config

from api.app import create_app
from api.connections import guarded
from api.settings import ApiSettings, JwtSettings
from middleware import logs
from middleware.settings import LogSettings, WebhookSettings
from persistence.database import Database
from persistence.environment import load
from persistence.settings import DatabaseSettings

# What still answers by then is cut off; its caller knows how to ask again.
_PARTING_SECONDS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Uvicorn's server, which ends without raising the signal that ended it once more.

    :param part: called when it begins to end, to let go of streams that would never end by themselves.
    """

    def __init__(self, config: Config, *, part: Callable[[], None]) -> None:
        super().__init__(config)
        self._part = part

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then what else is under way."""
        await asyncio.to_thread(self._part)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, however often they come; beside a main thread they are that one's business."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.should_exit = True

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: ApiSettings, *, on_listening: Callable[[str], None] | None = None) -> None:
    """Serve the API until a signal says to stop.

    :param on_listening: called with the address once connections are accepted.
    :raises SettingsError: a setting cannot be used.
    :raises OSError: the address cannot be listened on.
    """
    jwt, database_settings, webhooks = load(JwtSettings), load(DatabaseSettings), load(WebhookSettings)
    logs.configure(load(LogSettings))
    listener = listen(settings.host, settings.port)
    database = Database(database_settings)
    try:
        server = make_server(settings, jwt, database, webhooks)
        gc.freeze()  # a collection that goes through all that was made so far holds up every request for a tenth of a second
        if on_listening is not None:
            host, port = listener.getsockname()[:2]
            on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        server.run(sockets=[listener])
    finally:
        listener.close()
        database.close()


def make_server(settings: ApiSettings, jwt: JwtSettings, database: Database, webhooks: WebhookSettings | None = None) -> Server:
    """Make the server around a new application."""
    app = create_app(settings, jwt, database=database, webhook_settings=webhooks)
    return Server(
        Config(
            app,
            loop="uvloop",
            http=guarded(request_seconds=settings.request_seconds),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # X-Forwarded-For is whatever a peer says
            server_header=False,
            timeout_graceful_shutdown=_PARTING_SECONDS,
        ),
        part=app.state.feed.close,
    )


def listen(host: str, port: int) -> socket.socket:
    """Open the socket on which connections are accepted; port 0 takes a free one.

    :raises OSError: the address is taken or not ours.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.create_server(address[:2], family=family, backlog=2048)
    listener.setblocking(False)
    return listener
