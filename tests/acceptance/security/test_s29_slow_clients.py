"""S29: whoever takes too long to say what they want is parted with."""

import select
import socket
import time

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from tests.acceptance.served import Served, served

REQUEST_SECONDS = 0.5
HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "


@pytest.fixture
def impatient(sqlite_database: str) -> object:
    """An API that gives a request half a second."""
    with served(sqlite_database, settings=ApiSettings(port=0, request_seconds=REQUEST_SECONDS)) as greenroom:
        yield greenroom


def until_closed(peer: socket.socket, *, drip: bytes = b"") -> tuple[float, bytes]:
    """Send a few bytes again and again until the other side closes.

    :returns: the seconds that took, and what was answered.
    """
    started, answer = time.monotonic(), b""
    while time.monotonic() - started < 20 * REQUEST_SECONDS:
        readable, _, _ = select.select([peer], [], [], REQUEST_SECONDS / 10)
        try:
            if readable:
                received = peer.recv(65536)
                if not received:
                    break
                answer += received
            elif drip:
                peer.send(drip)
        except (ConnectionResetError, BrokenPipeError):
            break
    return time.monotonic() - started, answer


@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        (b"", b""),
        (b"GET /health/live HTT", b""),
        (b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", b"a"),
        (b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X-A: b\r\n"),
    ],
    ids=["nothing", "half a line", "an endless header", "endless headers"],
)
def test_slow_headers_are_cut_off(impatient: Served, sent: bytes, drip: bytes) -> None:
    """A head that does not end in time is answered with 408, unless nothing was asked, and the connection closed."""
    peer = impatient.connect()
    peer.sendall(sent)
    seconds, answer = until_closed(peer, drip=drip)
    assert REQUEST_SECONDS * 0.8 <= seconds < 10 * REQUEST_SECONDS
    assert answer.startswith(b"HTTP/1.1 408") if sent else answer == b""


@pytest.mark.parametrize("length", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_slow_bodies_are_cut_off(impatient: Served, length: bytes) -> None:
    """A body that comes in drops is answered with 408 and the connection closed, and no job is made."""
    peer = impatient.connect()
    peer.sendall(HEAD + impatient.admin_key.encode() + b"\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n")
    seconds, answer = until_closed(peer, drip=b"1\r\n[\r\n" if b"chunked" in length else b"[")
    assert seconds < 10 * REQUEST_SECONDS
    assert answer.startswith(b"HTTP/1.1 408")
    assert impatient.admin.get("/jobs").json()["items"] == []


def test_a_second_request_has_its_own_time(impatient: Served) -> None:
    """On a connection that is kept, a slow request after a good one is cut off as well."""
    peer = impatient.connect()
    peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert peer.recv(65536).startswith(b"HTTP/1.1 200")
    peer.sendall(b"GET /health/li")
    seconds, answer = until_closed(peer)
    assert seconds < 10 * REQUEST_SECONDS
    assert b"HTTP/1.1 408" in answer


def test_a_large_upload_may_take_longer(impatient: Served) -> None:
    """A body that comes at a fair pace is waited for, longer than its time."""
    content = b'{"type":"nonsense","payload":"' + b"x" * 100_000 + b'"}'
    peer = impatient.connect()
    peer.sendall(
        HEAD + impatient.admin_key.encode() + b"\r\nContent-Type: application/json\r\nContent-Length: "
        + str(len(content)).encode() + b"\r\n\r\n"
    )  # fmt: skip
    started = time.monotonic()
    pieces = [content[at : at + 10_000] for at in range(0, len(content), 10_000)]
    for piece in pieces[:-1]:
        peer.sendall(piece)
        assert not select.select([peer], [], [], 0.2)[0]
    peer.sendall(pieces[-1])  # the answer may be there before this returns
    assert time.monotonic() - started > 2 * REQUEST_SECONDS
    assert peer.recv(65536).startswith(b"HTTP/1.1 400")


def test_huge_headers_are_refused(impatient: Served) -> None:
    """Headers beyond 64 KiB give 431, without waiting for their end."""
    peer = impatient.connect()
    peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    for number in range(66):
        peer.sendall(f"X-{number}: ".encode() + b"a" * 1000 + b"\r\n")
    assert peer.recv(65536).startswith(b"HTTP/1.1 431")


def test_the_time_is_at_most_half_a_minute() -> None:
    """No setting gives a request more than 30 seconds."""
    assert ApiSettings().request_seconds <= 30
    with pytest.raises(ValidationError):
        ApiSettings(request_seconds=31)
