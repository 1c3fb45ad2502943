"""A receiver of webhooks on a port of 127.0.0.1, as good or as bad as a test wants it."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests import waiting


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """The id of the delivery."""
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        """The body, read."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    def verify(self, secret: str) -> None:
        """Check the signature as a receiver does.

        :raises WebhookVerificationError: it is not one of this secret.
        """
        Webhook(secret).verify(self.body, self.headers)


# What a receiver does with a request that it has read; the number counts from 1.
Behaviour = Callable[["Request", int], None]


class Request(BaseHTTPRequestHandler):
    """One request, handed to the receiver's behaviour."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the request and behave."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        number = self.server.receiver.take(Received(self.path, headers, body))
        with suppress(OSError):
            self.server.receiver.behave(self, number)

    do_GET = do_POST  # noqa: N815 - the library's name

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Answer like an ordinary server."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The server around the requests."""

    daemon_threads = True
    block_on_close = False
    receiver: "Receiver"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a sender that hangs up is what some tests are about."""


class Receiver:
    """Listens until it is closed.

    :param behave: what it does with requests; it answers 204 unless told otherwise.
    :param context: for TLS.
    """

    def __init__(self, behave: Behaviour | None = None, *, context: ssl.SSLContext | None = None) -> None:
        self.behave: Behaviour = behave or (lambda request, number: request.answer(204))
        self.closing = threading.Event()
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), Request)
        self._server.receiver = self
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def take(self, received: Received) -> int:
        """Keep a request; gives its number."""
        with self._lock:
            self._received.append(received)
            return len(self._received)

    @property
    def received(self) -> list[Received]:
        """All that has come so far."""
        with self._lock:
            return list(self._received)

    def wait(self, count: int, *, seconds: float = 30.0) -> list[Received]:
        """Wait until so many requests have come, and give them all."""
        waiting.until(lambda: len(self.received) >= count, f"request number {count}", seconds=seconds)
        return self.received

    def close(self) -> None:
        """Stop listening and let go of whoever hangs."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    # Ways to behave.

    def hang(self, request: Request, number: int) -> None:
        """Never answer."""
        self.closing.wait(60)

    def trickle(self, request: Request, number: int) -> None:
        """Answer a header at a time, for ever."""
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.closing.wait(0.1):
            request.wfile.write(b"X-More: to come\r\n")


def status(code: int, **headers: str) -> Behaviour:
    """Answer with a status."""
    return lambda request, number: request.answer(code, b"", **headers)


def reset(request: Request, number: int) -> None:
    """Break the connection off."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def flood(request: Request, number: int, sent: list[int] | None = None) -> None:
    """Answer with a gigabyte.

    :param sent: takes the size of each part that has been sent.
    """
    request.send_response(200)
    request.send_header("Content-Length", str(2**30))
    request.end_headers()
    for _ in range(2**10):
        request.wfile.write(b"x" * 2**20)
        if sent is not None:
            sent.append(2**20)


@contextmanager
def receiving(behave: Behaviour | None = None, **words: Any) -> Iterator[Receiver]:
    """Listen for the length of a block."""
    receiver = Receiver(behave, **words)
    try:
        yield receiver
    finally:
        receiver.close()
