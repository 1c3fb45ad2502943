"""Scans over HTTP: a repository is tracked, its pull requests are read by real workers, and duplicates come out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import factories_git
from tests.acceptance.greenroom_up import Operator, Up
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)

QUICK = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.5", "SWEEP_SECONDS": "0.25", "BACKOFF_SECONDS": "0.1"}
PATIENCE_SECONDS = 90.0


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Up]:
    """`greenroom up` on SQLite and on PostgreSQL, with a folder of repositories that may be scanned."""
    (tmp_path / "mirrors").mkdir()
    database_url: str = request.getfixturevalue(f"{request.param}_database")
    running = Up(tmp_path / "up", DATABASE_URL=database_url, SCAN_ALLOW=str(tmp_path / "mirrors"), **QUICK)
    running.wait_for("Greenroom is running")
    yield running
    running.close()


def track(up: Operator, name: str, **fields: Any) -> None:
    """Track a repository of `acme`."""
    answer = up.call("POST", "/api/v1/repos", json={"owner": "acme", "name": name} | fields)
    assert answer.status_code == 201, answer.text


def scan(up: Operator, name: str) -> str:
    """Start a scan and give its id."""
    answer = up.call("POST", f"/api/v1/repos/acme/{name}/scan")
    assert answer.status_code == 202, answer.text
    started: dict[str, str] = answer.json()
    assert started["status"] in {"queued", "running"}
    assert answer.headers["location"] == f"/api/v1/scans/{started['scan_id']}"
    return started["scan_id"]


def ended(up: Operator, scan_id: str) -> dict[str, Any]:
    """Poll a scan to its end."""

    def look() -> Any:
        seen = up.call("GET", f"/api/v1/scans/{scan_id}").json()
        return seen if seen["status"] in {"done", "failed"} else None

    found: dict[str, Any] = until(look, f"end of scan {scan_id}", seconds=PATIENCE_SECONDS)
    return found


def test_b4_a_scan_finds_the_duplicates(up: Up, tmp_path: Path) -> None:
    """B4: a tracked repository is scanned, polled, and its near-duplicate pull requests come out in groups."""
    mirror = factories_git.repository(tmp_path / "mirrors" / "site.git", factories_git.some_changes())
    track(up, "site", url=str(mirror))

    done = ended(up, scan(up, "site"))

    assert (done["status"], done["phase"], done["error"]) == ("done", "done", None)
    assert (done["pr_count"], done["ingested_count"], done["embedded_count"], done["dupe_group_count"]) == (5, 5, 5, 2)
    found = [[(member["number"], member["title"]) for member in group["members"]] for group in done["groups"]]
    assert sorted(found) == [
        [(1, "Fix the login on slow networks"), (4, "Fix login on slow networks")],
        [(2, "Add a cache for pages"), (5, "Add cache for the pages")],
    ]
    assert all(0.6 <= group["score"] <= 1 for group in done["groups"])
    assert done["created_at"] <= done["started_at"] <= done["completed_at"]
    assert [job["type"] for job in done["jobs"]] == ["scan.ingest", "scan.embed", "scan.cluster"]
    assert {job["status"] for job in done["jobs"]} == {"completed"}
