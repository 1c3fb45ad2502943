"""Connections: uvicorn's protocol with deadlines and a limit for what comes before a request is whole."""

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_HEAD_BYTES = 64 * 1024
# A body may take longer than the deadline for as long as it comes at least this fast.
_SLOWEST_BYTES_PER_SECOND = 16 * 1024
# An answer given before the body was read: the rest is thrown away so that the client gets to read it, but not for long.
_LINGER_SECONDS = 2.0
_FROZEN_SECONDS = 30.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection, closed when a request's head or body does not arrive, or a response is not read, in time."""

    request_seconds = 20.0

    _timer: asyncio.TimerHandle | None = None
    _frozen: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _body_bytes = 0
    _in_head = True
    _in_body = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._expect(self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        for timer in (self._timer, self._frozen):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what comes before the body has grown too large."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES and not self._refused:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than 64 KiB")

    def on_message_begin(self) -> None:
        """Start the clock of a request's head."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._expect(self._late)

    def on_headers_complete(self) -> None:
        """Start the clock of a request's body."""
        self._in_head, self._in_body, self._body_bytes = False, True, 0
        self._expect(self._late)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what has arrived."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._in_body = False
        self._stop()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Part with a client that still sends the body of a request that is answered already."""
        super().on_response_complete()
        if self._in_body:
            self._stop()
            self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._frozen = self.loop.call_later(_FROZEN_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._frozen is not None:
            self._frozen.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _expect(self, late: Any) -> None:
        self._stop()
        self._timer = self.loop.call_later(self.request_seconds, late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        earned, self._body_bytes = self._body_bytes / _SLOWEST_BYTES_PER_SECOND, 0
        if self._in_body and earned > 0.1:  # noqa: PLR2004 - a tenth of a second's worth is no reason to wait on
            self._timer = self.loop.call_later(min(earned, self.request_seconds), self._late)
        elif self._in_head and not self._head_bytes:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer in uvicorn's place and part, unless an answer has begun already."""
        self._refused = True
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request, whatever its annotation says
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
            return
        if cycle is not None:  # whoever waits for the rest of the body waits no more, and answers nobody
            cycle.disconnected = True
            cycle.message_event.set()
        problem = {
            "type": "about:blank",
            "title": status.phrase,
            "status": int(status),
            "detail": detail,
            "code": "VALIDATION",
        }
        body = msgspec.json.encode(problem)
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/problem+json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        # Closed with anything unread, the connection would be reset and the answer lost on its way.
        self.transport.write_eof()
        self._stop()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def guarded(*, request_seconds: float) -> type[GuardedProtocol]:
    """Make the protocol with a deadline of its own.

    :param request_seconds: time for a request's head, and for a body that comes slower than 16 KiB a second.
    """
    return type("Guarded", (GuardedProtocol,), {"request_seconds": request_seconds})
