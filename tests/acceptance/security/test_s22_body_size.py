"""S22: a body over the limit is refused before it is taken in, however it comes."""

import json
import select
import socket
from typing import Any

import httpx
import pytest

from api.limits import BODY_BYTES, BULK_BYTES
from api.settings import ApiSettings
from tests.acceptance.served import ECHO, Served, served

MEGABYTE = 1024 * 1024
# What sockets may hold on their way, a published port's proxy included: Linux lets one have up to 32 MiB.
IN_SOCKETS = 64 * MEGABYTE
FORM_BEGINNING = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-'
FORM = "multipart/form-data; boundary=b"
LIMITS = {
    "/jobs": ("application/json", BODY_BYTES),
    "/jobs/bulk": ("application/json", BULK_BYTES),
    "/books": (FORM, 50 * MEGABYTE),
}
EACH_ROUTE = pytest.mark.parametrize("path", LIMITS)


@EACH_ROUTE
def test_an_announced_body_is_refused_unseen(greenroom_on_sqlite: Served, path: str) -> None:
    """A Content-Length over the limit gets its 413 before a byte of the body is sent."""
    kind, limit = LIMITS[path]
    with connection(greenroom_on_sqlite, path, kind, f"Content-Length: {limit + MEGABYTE}") as peer:
        head, problem = read_answer(peer)
    assert "413" in head
    assert problem["code"] == "PAYLOAD_TOO_LARGE"
    assert limit <= problem["limit"] <= limit + MEGABYTE


@EACH_ROUTE
def test_a_chunked_body_is_refused_on_the_way(greenroom_on_sqlite: Served, path: str) -> None:
    """A body of unknown length gets its 413 when it passes the limit, long before it ends; then it is cut off."""
    kind, limit = LIMITS[path]
    begin = FORM_BEGINNING if kind == FORM else b'["'
    sent = 0
    with connection(greenroom_on_sqlite, path, kind, "Transfer-Encoding: chunked") as peer:
        peer.sendall(chunk(begin))
        while not select.select([peer], [], [], 0)[0] and sent < limit + IN_SOCKETS:
            peer.sendall(chunk(b"x" * MEGABYTE))
            sent += MEGABYTE
        head, problem = read_answer(peer)
    assert "413" in head
    assert problem["code"] == "PAYLOAD_TOO_LARGE"
    assert sent < limit + IN_SOCKETS


def test_the_limit_of_uploads_is_a_setting(sqlite_database: str) -> None:
    """GREENROOM_UPLOAD_BYTES is what a file may have; one byte more gives 413."""
    with served(sqlite_database, settings=ApiSettings(port=0, upload_bytes=1000)) as greenroom:
        user = greenroom.user("ann")
        fits = user.post("/books", files={"file": ("a.pdf", b"%PDF-1.7" + b"x" * 992, "application/pdf")})
        over = user.post("/books", files={"file": ("a.pdf", b"%PDF-1.7" + b"x" * 993, "application/pdf")})
    assert (fits.status_code, over.status_code) == (201, 413)


def test_a_payload_is_limited_by_the_tier(greenroom_on_sqlite: Served) -> None:
    """A payload over `max_payload_bytes` gives 413 with the limit, alone and in a bulk; one of that size is taken."""
    user = greenroom_on_sqlite.user("ann", tier="pro")
    limit = user.get("/quota").json()["limits"]["max_payload_bytes"]
    fits, over = ({"type": ECHO, "payload": {"text": "x" * (size - len('{"text":""}'))}} for size in (limit, limit + 1))
    assert post_json(user, "/jobs", fits).status_code == 202
    for path, body in (("/jobs", over), ("/jobs/bulk", {"jobs": [fits, over]})):
        answer = post_json(user, path, body)
        assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "PAYLOAD_TOO_LARGE", limit)
    assert len(user.get("/jobs").json()["items"]) == 1


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, '{"type":"x","payload":' + "[" * 500 + "]" * 500 + "}"])
def test_deep_nesting_is_refused(greenroom_on_sqlite: Served, body: str) -> None:
    """JSON nested deeper than anybody needs gives 400 on every route with a body, and the server goes on."""
    for path in ("/jobs", "/jobs/bulk"):
        answer = greenroom_on_sqlite.admin.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
    assert greenroom_on_sqlite.admin.get("/quota").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/jobs", '{"type":"tests.echo","payload":{"a":"\\u0000"}}'),
        ("POST", "/jobs", '{"type":"tests.echo","payload":{"a":"\x00"}}'),
        ("POST", "/jobs", '{"type":"tests.echo","payload":{},"tags":["\\u0000"]}'),
        ("PUT", "/users/a%00b", '{"tenant":"t","tier":"pro"}'),
        ("PUT", "/users/ab", '{"tenant":"t\\u0000","tier":"pro"}'),
        ("GET", "/jobs?type=a%00", None),
        ("GET", "/jobs/%00", None),
    ],
)
def test_nul_is_refused(greenroom: Served, method: str, path: str, body: str | None) -> None:
    """The character that PostgreSQL cannot store gives 400 wherever it stands, and no row."""
    answer = greenroom.admin.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
    assert greenroom.admin.get("/jobs").json()["items"] == []
    assert len(greenroom.admin.get("/users").json()["items"]) == 1


def connection(greenroom: Served, path: str, kind: str, length: str) -> socket.socket:
    """Send the head of a POST."""
    peer = greenroom.connect()
    host = greenroom.url.removeprefix("http://")
    peer.sendall(
        f"POST /api/v1{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {greenroom.admin_key}\r\n"
        f"Content-Type: {kind}\r\n{length}\r\n\r\n".encode()
    )
    return peer


def chunk(content: bytes) -> bytes:
    """Wrap content as one chunk."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def read_answer(peer: socket.socket) -> tuple[str, dict[str, Any]]:
    """Read a response whole, as far as its Content-Length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += peer.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += peer.recv(65536)
    problem: dict[str, Any] = json.loads(body)
    return head.decode().splitlines()[0], problem


def post_json(client: httpx.Client, path: str, body: object) -> httpx.Response:
    """Send JSON without the spaces that would count."""
    text = json.dumps(body, separators=(",", ":"))
    return client.post(path, content=text, headers={"Content-Type": "application/json"})
