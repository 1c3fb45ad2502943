"""S26: a tenant has so many streams, and who does not read is parted with."""

import socket
from contextlib import ExitStack

import pytest

from api import connections, feed
from tests.acceptance.served import Served
from tests.acceptance.stage import submit
from tests.acceptance.streams import listening


def test_streams_are_limited(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user and a tenant have so many streams; one more is 429, and an ended one gives its place back."""
    monkeypatch.setattr(feed, "MOST_STREAMS_OF_USER", 2)
    monkeypatch.setattr(feed, "MOST_STREAMS_OF_TENANT", 3)
    ann, abe, bob = greenroom.user("ann"), greenroom.user("abe"), greenroom.user("bob", tenant="other")
    with ExitStack() as stack:
        for client in (ann, ann, abe):
            stack.enter_context(listening(client, "/events"))
        refused = [ann.get("/events"), abe.get("/events")]
        stack.enter_context(listening(bob, "/events"))

    assert [(answer.status_code, answer.json()["limit"]) for answer in refused] == [(429, 2), (429, 3)]
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    job = submit(ann)["id"]
    ann.delete(f"/jobs/{job}")
    # Each of these takes a place and gives it back before it ends.
    for _ in range(4):
        with listening(ann, f"/jobs/{job}/events") as stream:
            assert [event.name for event in stream] == ["job.enqueued", "job.cancelled"]


def test_a_frozen_reader_is_dropped(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops reading its stream is disconnected, and its place is free again."""
    monkeypatch.setattr(feed, "MOST_STREAMS_OF_USER", 1)
    monkeypatch.setattr(connections, "_FROZEN_SECONDS", 0.2)
    monkeypatch.setattr("api.events.PING_SECONDS", 0.0001)
    monkeypatch.setattr("api.events._PING", b": " + b"x" * 65536 + b"\n\n")
    ann = greenroom.user("ann")
    frozen = greenroom.connect()
    frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {ann.headers['authorization']}\r\n\r\n"
    frozen.sendall(head.encode())
    assert frozen.recv(12) == b"HTTP/1.1 200"

    # Nobody reads on: the server's pings fill all buffers until it gives up, and only then is there a place.
    while (answer := ann.get("/jobs/01a203d5-8286-74ac-aa6c-0383f8d224f9/events")).status_code == 429:
        pass

    assert answer.status_code == 404
