"""A client of its own process, so light that it is never what is measured: raw sockets, nothing parsed but the length.

`python -m benchmarks.client` reads a plan as JSON from its standard input and writes what came of it to its output.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_LONGEST_SECONDS = 60.0


@dataclass
class Plan:
    """What to send.

    :param requests: method, path and body (None for none) of each; taken in turn, over and over.
    :param connections: how many are open; each waits for its answer before it sends the next request.
    :param seconds: how long.
    :param rate: requests a second, sent at their times whether or not the others are answered (as far as there are
        connections), and timed from when they were due; None: as fast as answers come.
    :param keeps: whether to give back what came, with the time at which each was sent.
    """

    port: int
    key: str
    requests: Sequence[tuple[str, str, str | None]]
    connections: int = 1
    seconds: float = 5.0
    rate: float | None = None
    count: int | None = None
    keeps: bool = False


@dataclass
class Results:
    """What came of a plan; `seconds` is how long it took and `milliseconds` how long each request did."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    sent_at: list[float] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds


def run(plan: Plan) -> Results:
    """Carry a plan out in a process of its own.

    :raises RuntimeError: not every request was answered with success.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.client"],
        cwd=_ROOT,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        timeout=plan.seconds + 2 * _LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    results = Results(**json.loads(done.stdout))
    if any(not status.startswith("2") for status in results.statuses):
        message = f"not all requests were answered with success: {results.statuses} {results.bodies[:1]}"
        raise RuntimeError(message)
    return results


class _Connection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> tuple[str, bytes]:
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        parts = [body]
        got = len(body)
        while got < length:
            parts.append(self._more())
            got += len(parts[-1])
        return head[9:12].decode(), b"".join(parts)

    def _more(self) -> bytes:
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError
        return received


class _Shift:
    """The threads of one plan, one a connection."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._encoded = [_encode(plan, *request) for request in plan.requests]
        self._lock = threading.Lock()
        self._next = 0
        self.results = Results()

    def work(self) -> Results:
        self._begun = time.perf_counter()
        threads = [threading.Thread(target=self._serve) for _ in range(self._plan.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.results.seconds = time.perf_counter() - self._begun
        return self.results

    def _serve(self) -> None:
        plan, results = self._plan, self.results
        connection = _Connection(plan.port)
        while True:
            with self._lock:
                number = self._next
                self._next += 1
            due = time.perf_counter() if plan.rate is None else self._begun + number / plan.rate
            if due - self._begun > plan.seconds or (plan.count is not None and number >= plan.count):
                return
            if (early := due - time.perf_counter()) > 0:
                time.sleep(early)
            sent_at = time.time()
            status, body = connection.exchange(self._encoded[number % len(self._encoded)])
            took = 1000 * (time.perf_counter() - due)
            with self._lock:
                results.milliseconds.append(took)
                results.statuses[status] = results.statuses.get(status, 0) + 1
                if plan.keeps or not status.startswith("2"):
                    results.sent_at.append(sent_at)
                    results.bodies.append(body.decode())


def _encode(plan: Plan, method: str, path: str, body: str | None) -> bytes:
    encoded = b"" if body is None else body.encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{plan.port}", f"Authorization: Bearer {plan.key}"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(encoded)}"]
    return "\r\n".join([*lines, "", ""]).encode() + encoded


if __name__ == "__main__":
    given: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(_Shift(Plan(**given)).work()), sys.stdout)
