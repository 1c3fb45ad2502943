"""A TCP proxy of the campaign's own: delays, silence, half-open connections, and replies that get lost."""

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_CHUNK = 65536
_COMMIT = b"COMMIT"
_READY = b"Z\0\0\0\5I"  # the last message of an answer, and that no transaction is open
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections from a free port of 127.0.0.1 to another port, and misbehaves when told.

    :param on_lost: called when the reply to a COMMIT has been dropped.
    """

    def __init__(self, target_port: int, *, on_lost: Callable[[], None] | None = None, seed: int = 0) -> None:
        self._target = target_port
        self._on_lost = on_lost
        self._draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.delay_seconds = 0.0
        self.loses_commits = 0.0
        self.to_server = threading.Event()
        self.to_client = threading.Event()
        self.to_server.set()
        self.to_client.set()
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def be_silent(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Forward nothing any more, and let all connections stand: half-open, with nobody to say so."""
        if to_server:
            self.to_server.clear()
        if to_client:
            self.to_client.clear()

    def speak(self) -> None:
        """Forward again."""
        self.to_server.set()
        self.to_client.set()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._reset(pair)

    def close(self) -> None:
        """Reset every connection and accept no more."""
        self._is_closed = True
        self._listener.close()
        self.speak()
        self.cut()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxy-connection", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.to_server.wait()  # a connection that is not forwarded is silent from its beginning
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        server.settimeout(None)
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        with suppress(OSError, ValueError):
            self._forward(client, server)
        self._reset(pair)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for side in readable:
                gate, other = (self.to_server, server) if side is client else (self.to_client, client)
                part = side.recv(_CHUNK)
                if not part:
                    return
                gate.wait()
                if side is client and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                other.sendall(part)
                if side is client and _COMMIT in part and self._draw.random() < self.loses_commits:
                    _answer(client, server)  # it has been committed, and nobody will hear of it
                    self.lost += 1
                    if self._on_lost is not None:
                        self._on_lost()
                    return

    def _reset(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for side in pair:
            with suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.close()


def _answer(client: socket.socket, server: socket.socket) -> None:
    """Take the server's answer; in a pipeline there is none before the client has sent what comes behind its COMMIT."""
    answer = b""
    while not answer.endswith(_READY):
        readable, _, _ = select.select([client, server], [], [])
        for side in readable:
            part = side.recv(_CHUNK)
            if not part:
                return
            if side is client:
                server.sendall(part)
            else:
                answer = (answer + part)[-len(_READY) :]
