"""A host on this machine that speaks as much of GitHub's REST protocol as scans use, rate limit and all."""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghp-of-the-tests"

_PULLS = re.compile(r"/api/repos/([\w.-]+)/([\w.-]+)/pulls(?:/(\d+))?")


class GitHub:
    """The host.

    :param repositories: by `owner/name`, the diff of each pull request's number and title.
    """

    def __init__(self, repositories: Mapping[str, Mapping[tuple[int, str], str]]) -> None:
        self.repositories = repositories
        self.requests: list[str] = []
        self.refused = 0
        # How many requests are answered until the limit is reached, and how many seconds it then lasts.
        self.remaining: int | None = None
        self.limit_seconds = 2.0
        # What is answered in place of all else: a status and headers.
        self.failure: tuple[int, dict[str, str]] | None = None
        self.url = ""
        self._reset_at = 0.0
        self._lock = threading.Lock()

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer a request: status, headers and body."""
        with self._lock:
            self.requests.append(path)
            if self.failure is not None:
                status, said = self.failure
                return status, said, b"{}"
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {}, b"{}"
            if self.remaining is not None and self.remaining <= 0:
                if self._reset_at == 0:
                    self._reset_at = time.time() + self.limit_seconds
                if time.time() < self._reset_at:
                    self.refused += 1
                    reset = str(int(self._reset_at) + 1)
                    return 403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset, "date": formatdate(usegmt=True)}, b"{}"
                self.remaining = None
            if self.remaining is not None:
                self.remaining -= 1
        parts = urlsplit(path)
        match = _PULLS.fullmatch(parts.path)
        pulls = self.repositories.get(f"{match[1]}/{match[2]}") if match else None
        if match is None or pulls is None:
            return 404, {}, b'{"message": "Not Found"}'
        if match[3] is None:
            return self._page(pulls, parse_qs(parts.query))
        diff = next((diff for (number, _), diff in pulls.items() if number == int(match[3])), None)
        wanted = headers.get("Accept") == "application/vnd.github.diff"
        return (200, {}, diff.encode()) if diff is not None and wanted else (406, {}, b"{}")

    def _page(self, pulls: Mapping[tuple[int, str], str], query: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
        size, page = int(query["per_page"][0]), int(query["page"][0])
        assert (query["state"], query["sort"], query["direction"]) == (["all"], ["created"], ["desc"])
        newest = sorted(pulls, reverse=True)
        some = newest[(page - 1) * size : page * size]
        body = [{"number": number, "title": title, "head": {"sha": f"{number:040x}"}, "state": "open"} for number, title in some]
        links = {"link": f'<{self.url}/elsewhere?page={page + 1}>; rel="next"'} if page * size < len(newest) else {}
        return 200, links, json.dumps(body).encode()


@contextmanager
def github(repositories: Mapping[str, Mapping[tuple[int, str], str]]) -> Iterator[GitHub]:
    """Run the host for the length of a block."""
    host = GitHub(repositories)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = host.answer(self.path, dict(self.headers))
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.url = f"http://127.0.0.1:{server.server_address[1]}/api"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
