"""A chat endpoint on this machine that speaks OpenAI's protocol over real HTTP and answers as a test tells it to.

By itself, `python -m tests.chat_server PORT`, each model answers with its name and the last message.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_SECONDS = 60

Answer = str | bytes | Callable[[str], str]


@dataclass(frozen=True)
class Call:
    """A request that arrived: the model, the messages, the headers with small names, and when, by the monotonic clock."""

    model: str
    messages: list[dict[str, str]]
    headers: dict[str, str]
    at: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A status with headers instead of an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "not now"


class ChatServer:
    """The endpoint.

    :param port: 0 for a free one.
    """

    def __init__(self, port: int = 0) -> None:
        # By model: what it says, text or a function of the last message; bytes are sent as the whole body.
        self.answers: dict[str, Answer] = {}
        self.latency_seconds: dict[str, float] = {}
        # The only key that is let in; None for everybody.
        self.key: str | None = None
        self.calls: list[Call] = []
        self._refusals: dict[str | None, list[Refusal]] = {}
        self._more = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """What GREENROOM_LLM_URL is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @contextmanager
    def running(self) -> Iterator["ChatServer"]:
        """Serve for the length of a block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="chat")
        thread.start()
        try:
            yield self
        finally:
            self.release()
            self._server.shutdown()
            self._server.server_close()
            thread.join(PATIENCE_SECONDS)

    def serve(self) -> None:
        """Serve until the process ends."""
        self._server.serve_forever()

    def refuse(self, status: int, *, times: int = 1, model: str | None = None, message: str = "not now", **headers: str) -> None:
        """Answer the next calls with a status; `Retry_After="1"` is a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with self._more:
            self._refusals.setdefault(model, []).extend([Refusal(status, sent, message)] * times)

    def hold(self) -> None:
        """Let calls arrive and answer none until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Answer what is held, and all that comes."""
        self._open.set()

    def wait_for_calls(self, count: int) -> list[Call]:
        """Wait until so many calls have arrived in all."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.calls) >= count, PATIENCE_SECONDS), f"{len(self.calls)} calls"
            return list(self.calls)

    def counted(self) -> Counter[str]:
        """Count the calls of each model."""
        with self._more:
            return Counter(call.model for call in self.calls)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with suppress(BrokenPipeError, ConnectionResetError):  # the caller was cancelled
                    server._answer(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if handler.path != "/v1/chat/completions":
            return _send(handler, 404, _error(f"there is nothing at {handler.path}"))
        try:
            asked = json.loads(body)
            model, messages = asked.pop("model"), asked.pop("messages")
            assert isinstance(model, str)
            assert messages
            assert all({"role", "content"} <= message.keys() for message in messages)
        except (ValueError, KeyError, AttributeError, AssertionError):
            return _send(handler, 400, _error("this is no chat request"))
        with self._more:
            self.calls.append(Call(model, messages, headers, time.monotonic(), asked))
            self._more.notify_all()
            refusals = self._refusals.get(model) or self._refusals.get(None)
            refusal = refusals.pop(0) if refusals else None
        self._open.wait(PATIENCE_SECONDS)
        if seconds := self.latency_seconds.get(model):
            time.sleep(seconds)
        if refusal is not None:
            return _send(handler, refusal.status, _error(refusal.message), refusal.headers)
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            return _send(handler, 401, _error(f"the key is wrong: {headers.get('authorization')}"))
        answer = self.answers.get(model, lambda said: f"{model} says: {said}")
        if isinstance(answer, bytes):
            return _send(handler, 200, answer)
        said = messages[-1]["content"]
        return _send(handler, 200, _completion(model, said, answer if isinstance(answer, str) else answer(said)))


def _completion(model: str, asked: str, text: str) -> bytes:
    used = {"prompt_tokens": len(asked.split()), "completion_tokens": len(text.split())}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": used | {"total_tokens": sum(used.values())},
        }
    ).encode()


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}).encode()


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


if __name__ == "__main__":
    ChatServer(int(sys.argv[1])).serve()
