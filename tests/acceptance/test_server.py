"""The server: health, the docs page, what is not there, and how it ends."""

import re
import threading
from html.parser import HTMLParser

import httpx
import pytest

from tests.acceptance.served import PATIENCE_SECONDS, Served, served


class Links(HTMLParser):
    """The addresses that a page loads by itself, and what it runs without loading it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = ""
        self._runs = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element refers to."""
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]
        self._runs = tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        """Note what stands in a script."""
        self.inline += data.strip() if self._runs else ""


def test_health_needs_no_key(greenroom: Served) -> None:
    """Liveness and readiness answer everybody."""
    for path in ("/health/live", "/health/ready"):
        answer = greenroom.client().get(f"{greenroom.url}{path}")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_docs_page_loads_nothing_from_elsewhere(greenroom_on_sqlite: Served) -> None:
    """All that the page refers to is served here, runs under a strict policy, and nothing is written into the page."""
    # given
    client, url = greenroom_on_sqlite.client(), greenroom_on_sqlite.url
    page = client.get(f"{url}/schema")
    links = Links()
    links.feed(page.text)
    local = [link for link in links.found if not link.startswith("data:")]
    # when
    loaded = {link: client.get(f"{url}{link}") for link in local}
    # then
    assert len(local) == 3
    assert {answer.status_code for answer in loaded.values()} == {200}
    assert links.inline == ""
    policy = page.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:", policy)
    assert "http" not in loaded["/schema/docs.js"].text


def test_the_document_describes_what_there_is(greenroom_on_sqlite: Served) -> None:
    """OpenAPI names the scheme, describes problems as problems, and says where unknown fields are refused."""
    document = greenroom_on_sqlite.client().get(f"{greenroom_on_sqlite.url}/schema/openapi.json").json()
    put = document["paths"]["/api/v1/users/{user}"]["put"]["responses"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert list(put["400"]["content"]) == ["application/problem+json"]
    assert {"200", "201", "401", "403", "409", "503"} <= set(put)
    assert document["components"]["schemas"]["UserIn"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", "/nonsense", 404, "NOT_FOUND"),
        ("GET", "/api/v1/nonsense", 404, "NOT_FOUND"),
        ("GET", "/schema/nonsense", 404, "NOT_FOUND"),
        ("GET", "/schema/static/../../etc/passwd", 404, "NOT_FOUND"),
        ("PATCH", "/api/v1/quota", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/health/live", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_what_is_not_there_is_a_problem(greenroom_on_sqlite: Served, verb: str, path: str, status: int, code: str) -> None:
    """Unknown addresses and methods are answered as every other error is."""
    answer = greenroom_on_sqlite.admin.request(verb, f"{greenroom_on_sqlite.url}{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)


def test_what_is_not_http_is_a_problem(greenroom_on_sqlite: Served) -> None:
    """Bytes that are no request get a 400 of the same kind, and the next request is served."""
    peer = greenroom_on_sqlite.connect()
    peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    answer = peer.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer
    assert greenroom_on_sqlite.admin.get("/quota").status_code == 200


def test_every_response_is_guarded(greenroom_on_sqlite: Served) -> None:
    """Success or error, no response may be guessed at, framed or kept, and none says what serves it."""
    for path in ("/quota", "/nonsense", "/users"):
        headers = greenroom_on_sqlite.admin.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_streams_do_not_hold_up_the_end(sqlite_database: str) -> None:
    """With a client listening to events the server ends within moments, and the stream ends whole."""
    ended = threading.Event()

    def listen(greenroom: Served, listening: threading.Event) -> None:
        with httpx.stream("GET", f"{greenroom.url}/api/v1/events", headers=greenroom.admin.headers, timeout=None) as stream:  # noqa: S113
            listening.set()
            stream.read()
            ended.set()

    with served(sqlite_database) as greenroom:
        listening = threading.Event()
        listener = threading.Thread(target=listen, args=(greenroom, listening))
        listener.start()
        assert listening.wait(PATIENCE_SECONDS)
    assert ended.wait(3)
    listener.join()
