"""Scans over HTTP: a repository is tracked, its pull requests are read by real workers, and duplicates come out."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import factories_git
from tests.acceptance.greenroom_up import Operator, Up
from tests.factories_git import Change, lines
from tests.github import TOKEN, github
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)

QUICK = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.5", "SWEEP_SECONDS": "0.25", "BACKOFF_SECONDS": "0.1"}
PATIENCE_SECONDS = 90.0


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgresql, pytest.mark.rabbitmq], id="postgres-rabbitmq")]
)
def up(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    """`greenroom up` as it comes and on PostgreSQL with RabbitMQ, with a folder of repositories that may be scanned."""
    (tmp_path / "mirrors").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed worker leaves its copy behind
    database_url: str = request.getfixturevalue(f"{request.param}_database")
    broker_url: str = request.getfixturevalue("rabbitmq_url") if request.param == "postgres" else ""
    places = {"DATABASE_URL": database_url, "BROKER_URL": broker_url, "SCAN_ALLOW": str(tmp_path / "mirrors")}
    running = Up(tmp_path / "up", **places, **QUICK)
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


def test_b4_a_killed_scan_goes_on_where_it_was(up: Up, tmp_path: Path) -> None:
    """B4: after kill -9 of the worker in the middle of the pull requests the scan ends well, and nothing is read twice."""
    changes = [Change(number, f"Change {number // 2}", f"file{number // 2}", lines(f"{number // 2}")) for number in range(1, 601)]
    mirror = factories_git.repository(tmp_path / "mirrors" / "site.git", changes)
    track(up, "site", url=str(mirror))
    scan_id = scan(up, "site")

    def halfway() -> Any:
        seen = up.call("GET", f"/api/v1/scans/{scan_id}").json()
        return seen if seen["ingested_count"] else None

    seen = until(halfway, "pull request that was read", seconds=PATIENCE_SECONDS)
    job = up.call("GET", f"/api/v1/jobs/{seen['jobs'][0]['id']}").json()
    (worker,) = [w for w in up.call("GET", "/api/v1/queue").json()["workers"] if w["id"] == job["worker"]]
    os.kill(int(worker["name"].rpartition(":")[2]), signal.SIGKILL)

    assert (seen["status"], seen["phase"], seen["pr_count"]) == ("running", "ingest", 600)
    assert 0 < seen["ingested_count"] < 600
    done = ended(up, scan_id)
    assert (done["status"], done["pr_count"], done["ingested_count"], done["embedded_count"]) == ("done", 600, 600, 600)
    assert done["dupe_group_count"] == 299
    job = up.call("GET", f"/api/v1/jobs/{job['id']}").json()
    assert (job["status"], job["attempt"]) == ("completed", 2)
    assert 0 < job["result"]["read"] <= 600 - seen["ingested_count"]


@pytest.fixture
def host_up(tmp_path: Path, sqlite_database: str) -> Iterator[Any]:
    """Give a function that starts `greenroom up` with a GitHub-compatible host."""
    started: list[Up] = []

    def start(url: str, **settings: str) -> Up:
        running = Up(tmp_path / "up", DATABASE_URL=sqlite_database, GITHUB_URL=url, GITHUB_TOKEN=TOKEN, **QUICK, **settings)
        started.append(running)
        running.wait_for("Greenroom is running")
        return running

    yield start
    for running in started:
        running.close()


def test_b4_a_host_is_asked_and_its_rate_limit_waited_for(host_up: Any) -> None:
    """Without a URL the configured host's pages and diffs are read; at its limit the job snoozes and no attempt is used up."""
    changes = {(number, f"Change {number // 2}"): f"+{lines(str(number // 2))}" for number in range(1, 231)}
    with github({"acme/site": changes}) as host:
        host.remaining = 60
        up = host_up(host.url)
        track(up, "site")

        done = ended(up, scan(up, "site"))

        assert (done["status"], done["pr_count"], done["truncated"], done["dupe_group_count"]) == ("done", 230, False, 114)
        job = up.call("GET", f"/api/v1/jobs/{done['jobs'][0]['id']}").json()
        history = up.call("GET", f"/api/v1/jobs/{job['id']}/history").json()["items"]
        assert (job["attempt"], [step["reason"] for step in history].count("snoozed")) == (1, 1)
        assert host.refused == 1
        # Three pages and each diff once: what had been read when the limit was reached was stored first.
        assert len(host.requests) == 3 + 230 + host.refused


def test_b4_a_limit_leaves_out_the_older_ones(host_up: Any) -> None:
    """Of more pull requests than the setting allows the latest are read, and the scan says so."""
    changes = {(number, f"Change {number}"): f"+line {number}\n" for number in range(1, 31)}
    with github({"acme/site": changes}) as host:
        up = host_up(host.url, SCAN_PULLS="20")
        track(up, "site")

        done = ended(up, scan(up, "site"))

        assert (done["pr_count"], done["truncated"]) == (20, True)
        assert {int(path.rpartition("/")[2]) for path in host.requests if "?" not in path} == set(range(11, 31))


@pytest.mark.parametrize(
    ("failure", "kind", "attempts"),
    [
        pytest.param((404, {}), "RepositoryUnreadableError", 1, id="unknown"),
        pytest.param((401, {}), "RepositoryUnreadableError", 1, id="bad-token"),
        pytest.param((301, {"location": "http://127.0.0.1:1/"}), "RepositoryUnreadableError", 1, id="moved"),
        pytest.param((500, {}), "RepositoryUnreachableError", 4, id="broken"),
    ],
)
def test_b4_a_host_that_refuses_fails_the_scan(
    host_up: Any, monkeypatch: pytest.MonkeyPatch, failure: Any, kind: str, attempts: int
) -> None:
    """What will not change fails at once, what may is tried again; the scan says why, and redirects are not followed."""
    with github({}) as host:
        host.failure = failure
        up = host_up(host.url)
        track(up, "site")

        failed = ended(up, scan(up, "site")) if attempts == 1 else tried_again(up, scan(up, "site"))

        assert failed["error"]["type"] == kind
        assert TOKEN not in str(failed)


def tried_again(up: Operator, scan_id: str) -> dict[str, Any]:
    """Poll a scan until it says why its first attempt failed; it is still running."""

    def look() -> Any:
        seen = up.call("GET", f"/api/v1/scans/{scan_id}").json()
        return seen if seen["error"] else None

    seen: dict[str, Any] = until(look, f"error of scan {scan_id}", seconds=PATIENCE_SECONDS)
    assert (seen["status"], seen["error"]["retryable"], seen["completed_at"]) == ("running", True, None)
    return seen


def test_b4_what_cannot_be_scanned_fails_alone(up: Up, tmp_path: Path) -> None:
    """No repository, one without commits and one without pull requests: each scan ends truthfully, and others go on."""
    mirrors = tmp_path / "mirrors"
    (mirrors / "folder").mkdir()
    factories_git.git(mirrors, "init", "--quiet", "--bare", str(mirrors / "empty.git"))
    factories_git.repository(mirrors / "quiet.git")
    for name, place in {"folder": "folder", "missing": "missing", "empty": "empty.git", "quiet": "quiet.git"}.items():
        track(up, name, url=str(mirrors / place))

    ends = {name: ended(up, scan(up, name)) for name in ("folder", "missing", "empty", "quiet")}

    for name in ("folder", "missing"):
        assert (ends[name]["status"], ends[name]["error"]["type"]) == ("failed", "RepositoryRefusedError")
        assert ends[name]["error"]["message"] == "The repository is not a git repository."
        assert ends[name]["completed_at"] is not None
    for name in ("empty", "quiet"):
        assert (ends[name]["status"], ends[name]["pr_count"], ends[name]["groups"]) == ("done", 0, [])


def test_b4_a_link_leads_out_of_no_folder(up: Up, tmp_path: Path) -> None:
    """A repository that was inside an allowed folder when it was tracked, and is a link out of it later, is not read."""
    inside, outside = tmp_path / "mirrors" / "site.git", tmp_path / "private.git"
    track(up, "site", url=str(inside))
    factories_git.repository(outside, factories_git.some_changes())
    inside.symlink_to(outside)

    failed = ended(up, scan(up, "site"))

    assert failed["error"]["type"] == "RepositoryRefusedError"
    assert "GREENROOM_SCAN_ALLOW" in failed["error"]["message"]
    assert failed["pr_count"] == 0
