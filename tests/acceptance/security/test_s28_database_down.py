"""S28: without its database the API says so, and nothing that looks like success."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import sql

from tests.acceptance.documents import codes, post
from tests.acceptance.served import ECHO, PATIENCE_SECONDS, served
from tests.services import connected, database_name

JOB = {"type": ECHO, "payload": {}}


@contextmanager
def closed(server_url: str, url: str) -> Iterator[None]:
    """Cut all connections to a database, and let nobody in until the block ends."""
    name = database_name(url)
    with connected(server_url) as connection:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


@pytest.mark.postgresql
def test_nothing_succeeds_without_the_database(postgres_url: str, postgres_database: str) -> None:
    """Reads, submits, uploads and readiness give 503 with Retry-After; liveness stays; afterwards everything works."""
    with served(postgres_database) as greenroom:
        # given
        user = greenroom.user("ann")
        assert user.post("/jobs", json=JOB).status_code == 202
        probe = greenroom.client()
        # when
        with closed(postgres_url, postgres_database):
            answers = {
                "known caller's read": user.get("/jobs"),
                "submit": user.post("/jobs", json=JOB),
                "bulk": user.post("/jobs/bulk", json={"jobs": [JOB]}),
                "graphql": post(user, "{ queueStatus { paused } }"),
                "upload": user.post("/books", files={"file": ("a.pdf", b"%PDF-1.7", "application/pdf")}),
                "operator": greenroom.admin.put("/users/bob", json={"tenant": "acme", "tier": "pro"}),
                "unknown key": greenroom.client("gr_zzzzzzzzzzzz_wrong").get("/quota"),
                "ready": probe.get(f"{greenroom.url}/health/ready"),
            }
            live = probe.get(f"{greenroom.url}/health/live")
        # then
        assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(answers, 503)
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers.values())
        assert codes(answers.pop("graphql")) == ["UNAVAILABLE"]
        assert {answer.json()["code"] for answer in answers.values()} == {"UNAVAILABLE"}
        assert live.status_code == 200
        deadline = time.monotonic() + PATIENCE_SECONDS
        while user.post("/jobs", json=JOB).status_code != 202:
            assert time.monotonic() < deadline
        assert probe.get(f"{greenroom.url}/health/ready").status_code == 200
