"""The main job: a PDF goes in over HTTP, actors do the work, a book comes out, whatever happens on the way."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import factories_pdf
from tests.acceptance.compose import choice
from tests.acceptance.compose.stack import Stack
from tests.acceptance.greenroom_up import Operator, Up
from tests.waiting import until

QUICK = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.5", "SWEEP_SECONDS": "0.25", "WORKER_PROCESSES": "2"}
STAGES = {"documents.upload", "documents.extract", "documents.describe", "documents.convert"}


@pytest.fixture(params=choice.HOUSES)
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Up | Stack]:
    """`greenroom up` on SQLite and on PostgreSQL, or Compose's stack, with leases short enough for a test."""
    if request.param == "compose":
        stack: Stack = request.getfixturevalue("stack")
        stack.work()
        yield stack
        return
    database_url: str = request.getfixturevalue(f"{request.param}_database")
    running = Up(tmp_path / "up", DATABASE_URL=database_url, **QUICK)
    running.wait_for("Greenroom is running")
    yield running
    running.close()


def upload(up: Operator, pdf: bytes, title: str = "A book") -> str:
    """Upload a PDF and give the book's id."""
    answer = up.call("POST", "/api/v1/books", files={"file": ("book.pdf", pdf)}, data={"title": title})
    assert answer.status_code == 201, answer.text
    book: str = answer.json()["book"]["id"]
    return book


def book_of(up: Operator, book: str) -> dict[str, Any]:
    """Ask how a book stands."""
    found: dict[str, Any] = up.call("GET", f"/api/v1/books/{book}").json()
    return found


def jobs_of(up: Operator, book: str) -> dict[str, dict[str, Any]]:
    """List a book's jobs by their type."""
    return {job["type"]: job for job in up.call("GET", f"/api/v1/books/{book}/jobs").json()["items"]}


def wait_for_end(up: Operator, book: str) -> dict[str, Any]:
    """Wait until a book is ready or has failed."""
    until(lambda: book_of(up, book)["status"] != "processing", f"end of book {book}", seconds=150)
    return book_of(up, book)


def working(up: Operator, book: str) -> Any:
    """Give the extracting job once it is at its pages."""
    extract = jobs_of(up, book).get("documents.extract", {})
    at_work = extract.get("status") == "processing" and extract["progress"]["percent"] > 0
    return extract if at_work else None


def test_a_pdf_becomes_a_book(up: Operator) -> None:
    """An uploaded PDF is read in four stages, each a job that completes, and can then be read as HTML."""
    book = upload(up, factories_pdf.long_book(pages=12, outline=True), title="Twelve pages")

    ended = wait_for_end(up, book)

    assert (ended["status"], ended["pages"], ended["title"]) == ("ready", 12, "Twelve pages")
    assert ended["chapters"]
    assert {kind: job["status"] for kind, job in jobs_of(up, book).items()} == dict.fromkeys(STAGES, "completed")
    html = up.call("GET", f"/api/v1/books/{book}/html")
    assert html.status_code == 200
    assert ended["chapters"][0]["title"] in html.text


def test_a_killed_worker_costs_an_attempt_and_not_the_book(up: Operator) -> None:
    """After kill -9 of the worker in the middle of the pages the book still comes out, and the attempts tell why it took two."""
    book = upload(up, factories_pdf.long_book(pages=1500))
    extract = until(lambda: working(up, book), "page that is being read")
    (worker,) = [w for w in up.call("GET", "/api/v1/queue").json()["workers"] if w["id"] == extract["worker"]]

    os.kill(int(worker["name"].rpartition(":")[2]), signal.SIGKILL)

    assert wait_for_end(up, book)["status"] == "ready"
    attempts = up.call("GET", f"/api/v1/jobs/{extract['id']}/attempts").json()["items"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]
    assert attempts[0]["worker"] == extract["worker"] != attempts[1]["worker"]
    assert attempts[1]["status"] == "completed"
    reasons = [step["reason"] for step in up.call("GET", f"/api/v1/jobs/{extract['id']}/history").json()["items"]]
    assert "worker lost" in reasons


def test_a_stop_in_the_middle_costs_nothing(tmp_path: Path, sqlite_database: str) -> None:
    """All is stopped while the pages are read and started again: the book comes out, and no attempt was burned."""
    settings = QUICK | {"DATABASE_URL": sqlite_database, "SHUTDOWN_SECONDS": "1"}
    first = Up(tmp_path / "first", **settings)
    try:
        first.wait_for("Greenroom is running")
        book = upload(first, factories_pdf.long_book(pages=1500))
        extract = until(lambda: working(first, book), "page that is being read")
        first.signal(signal.SIGTERM)
        first.ended()
    finally:
        first.close()

    second = Up(tmp_path / "second", **settings)
    try:
        second.wait_for("Greenroom is running")
        assert wait_for_end(second, book)["status"] == "ready"
        assert second.finished(extract["id"])["attempt"] == 1
    finally:
        second.close()


@pytest.mark.parametrize(
    ("pdf", "says"),
    [
        pytest.param(factories_pdf.encrypted(), "password", id="encrypted"),
        pytest.param(factories_pdf.truncated(), "PDF", id="broken"),
        pytest.param(factories_pdf.no_pages(), "page", id="empty"),
        pytest.param(factories_pdf.decompression_bomb(), "512 MiB", id="bomb"),
    ],
)
def test_a_pdf_that_cannot_be_read_fails_at_once_and_the_workers_live(up: Up | Stack, pdf: bytes, says: str) -> None:
    """An encrypted, broken, empty or hostile PDF is an error that says what is wrong, after one attempt; the next is read."""
    workers = up.workers()
    book = upload(up, pdf)

    ended = wait_for_end(up, book)

    assert ended["status"] == "error"
    assert says in ended["error"]["message"]
    failed = [job for job in jobs_of(up, book).values() if job["status"] == "failed"]
    assert [(job["attempt"], job["error"]["retryable"]) for job in failed] == [(1, False)]
    assert up.call("GET", "/api/v1/dead-letters").json()["items"][0]["job"] == failed[0]["id"]
    assert wait_for_end(up, upload(up, factories_pdf.long_book(pages=2)))["status"] == "ready"
    assert up.workers() == workers


def test_of_fifty_simultaneous_jobs_of_a_free_user_one_is_accepted(up: Operator, tmp_path: Path) -> None:
    """A free user who submits fifty jobs at once gets exactly one 202; the others are told when to come back."""
    up.call("PUT", "/api/v1/users/ada", json={"tenant": "acme", "tier": "free"}).raise_for_status()
    key = up.call("POST", "/api/v1/users/ada/keys").json()["key"]
    payload = {"started": str(tmp_path / "started"), "file": str(tmp_path / "go")}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{up.port}/api/v1",
        headers={"Authorization": f"Bearer {key}"},
        limits=httpx.Limits(max_connections=50),
        timeout=30,
    ) as client:

        def submit(_: int) -> httpx.Response:
            return client.post("/jobs", json={"type": "tests.until", "payload": payload})

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(submit, range(50)))

    Path(payload["file"]).touch()
    assert Counter(answer.status_code for answer in answers) == {202: 1, 429: 49}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "CONCURRENT_JOB_LIMIT"
    assert int(refused.headers["retry-after"]) > 0
