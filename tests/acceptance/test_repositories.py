"""Repositories over HTTP: what may be tracked, by whom, and what starting a scan answers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from persistence import prune, scan_pulls, scans
from persistence.attempts import Ending
from persistence.database import now
from persistence.scan_pulls import Pull
from tests.acceptance.served import Served, served
from tests.acceptance.stage import Stage, items, submit

NOTHING = "01a203d5-8286-74ac-aa6c-0383f8d224f9"


@pytest.fixture(autouse=True)
def allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder whose repositories may be scanned, and allow a network of this machine."""
    folder = tmp_path / "mirrors"
    folder.mkdir()
    monkeypatch.setenv("GREENROOM_SCAN_ALLOW", str(folder))
    monkeypatch.setenv("GREENROOM_SCAN_NETWORKS", "127.0.0.2/32")
    return folder


def track(client: httpx.Client, name: str = "site", **fields: Any) -> dict[str, Any]:
    """Track a repository of `acme`, which has to be new."""
    answer = client.post("/repos", json={"owner": "acme", "name": name} | fields)
    assert answer.status_code == 201, answer.text
    tracked: dict[str, Any] = answer.json()
    return tracked


def start(client: httpx.Client, name: str = "site") -> dict[str, str]:
    """Start a scan, which has to be accepted."""
    answer = client.post(f"/repos/acme/{name}/scan")
    assert answer.status_code == 202, answer.text
    started: dict[str, str] = answer.json()
    return started


def test_b4_repositories_are_tracked(greenroom: Served, allowed: Path) -> None:
    """B4: a repository with or without a URL is tracked and listed; tracked again it has its new URL and the same id."""
    ann = greenroom.user("ann")
    first, second = track(ann), track(ann, ".github", url="https://git.example.org/acme/dot.git")

    again = ann.post("/repos", json={"owner": "acme", "name": "site", "url": f"file://{allowed}/site.git"})

    assert first["url"] is None
    assert (again.status_code, again.json()) == (200, first | {"url": f"file://{allowed}/site.git"})
    assert items(ann, "/repos", limit=1) == [second, again.json()]


def test_b4_an_untracked_one_is_not_found(greenroom: Served) -> None:
    """B4: a scan of what is not tracked is 404, and nothing is written."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)

    answers = [ann.post(path) for path in ("/repos/acme/other/scan", "/repos/other/site/scan", "/repos/acme/.%2e/scan")]

    assert {answer.status_code for answer in answers} == {404}
    assert (stage.rows(), stage.rows("scans")) == (0, 0)


def test_b4_a_scan_begins_as_a_job(greenroom: Served) -> None:
    """B4: the answer is 202 with an id that can be polled at once: queued, then running while its job is worked on."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)
    started = start(ann)
    scan = ann.get(f"/scans/{started['scan_id']}").json()

    assert started == {"scan_id": scan["scan_id"], "status": "queued"}
    assert (scan["status"], scan["phase"], scan["started_at"], scan["groups"], scan["error"]) == ("queued", None, None, [], None)
    taken = stage.take_one()
    assert (taken.type, taken.subject) == ("scan.ingest", scan["scan_id"])
    seen = ann.get(f"/scans/{started['scan_id']}").json()
    assert (seen["status"], seen["phase"], seen["owner"], seen["name"]) == ("running", "ingest", "acme", "site")


def test_b4_one_scan_at_a_time(greenroom: Served) -> None:
    """B4: ten callers at once, and one while it runs, are told of the one scan; after its end the next one is another."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)
    with ThreadPoolExecutor(10) as pool:
        started = {answer["scan_id"] for answer in pool.map(lambda _: start(ann), range(10))}
    (scan_id,) = started
    taken = stage.take_one()

    assert start(ann) == {"scan_id": scan_id, "status": "running"}
    assert stage.rows() == 1
    stage.fail(taken)
    assert start(ann)["scan_id"] != scan_id


def test_b4_a_failed_scan_says_why_and_can_be_replayed(greenroom: Served) -> None:
    """B4: the error of the job that failed is the scan's, and its dead letter's replay lets the scan go on."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)
    scan_id = start(ann)["scan_id"]
    stage.fail(stage.take_one(), "RepositoryUnreadableError")

    failed = ann.get(f"/scans/{scan_id}").json()

    assert (failed["status"], failed["error"]["type"]) == ("failed", "RepositoryUnreadableError")
    assert failed["completed_at"] is not None
    (letter,) = items(ann, "/dead-letters")
    ann.post(f"/dead-letters/{letter['id']}/replay")
    seen = ann.get(f"/scans/{scan_id}").json()
    assert (seen["status"], seen["completed_at"]) == ("running", None)


def test_b4_a_cancelled_scan_says_so(greenroom: Served) -> None:
    """B4: cancelling a scan's job ends the scan truthfully, in whatever phase it is, and lets the next one begin."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)
    scan_id = start(ann)["scan_id"]
    taken = stage.take_one()

    assert ann.delete(f"/jobs/{taken.id}").status_code == 200

    seen = ann.get(f"/scans/{scan_id}").json()
    assert (seen["status"], seen["error"]["type"], seen["error"]["retryable"]) == ("failed", "Cancelled", False)
    assert seen["completed_at"] is not None
    assert not stage.finish(taken, Ending.COMPLETED, result="{}")
    assert start(ann)["scan_id"] != scan_id


def test_b4_others_see_no_scan(greenroom: Served) -> None:
    """B4: a colleague gets the bytes of nonsense for another's scan and repository, and has the same name to oneself."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    track(ann)
    scan_id = start(ann)["scan_id"]

    theirs, nonsense = bob.get(f"/scans/{scan_id}"), bob.get(f"/scans/{NOTHING}")
    assert (theirs.status_code, theirs.content) == (404, nonsense.content)
    assert bob.post("/repos/acme/site/scan").status_code == 404
    assert items(bob, "/repos") == []
    track(bob)
    assert start(bob)["scan_id"] != scan_id
    assert greenroom.admin.get(f"/scans/{scan_id}").status_code == 200


def test_b4_a_full_user_starts_no_scan(greenroom: Served) -> None:
    """B4: a scan that admission refuses leaves neither a scan nor a job."""
    ann, stage = greenroom.user("ann", tier="free"), Stage(greenroom.database)
    track(ann)
    submit(ann)

    answer = ann.post("/repos/acme/site/scan")

    assert (answer.status_code, answer.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert (stage.rows("scans"), stage.rows()) == (0, 1)


def test_b4_scans_go_with_their_jobs(greenroom: Served) -> None:
    """B4: a scan is kept as long as one of its jobs, and goes with all that it has read."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    track(ann)
    scan_id = start(ann)["scan_id"]
    taken = stage.take_one()
    with greenroom.database.write() as session:
        scan_pulls.enlist(session, scan_id=scan_id, pulls=[Pull(7, "Seven")])
        assert prune.prune(session, older_than_seconds=0) == 0
    assert (stage.rows("scans"), stage.rows("scan_pulls")) == (1, 1)
    stage.complete(taken)
    submit(greenroom.user("bob"), {"owner": "acme", "name": "site"}, type="scan.ingest")

    with greenroom.database.write() as session:
        assert prune.prune(session, older_than_seconds=0) == 1

    assert (stage.rows("scans"), stage.rows("scan_pulls"), stage.rows("repositories")) == (0, 0, 1)
    assert ann.get(f"/scans/{scan_id}").status_code == 404


def test_a_stage_of_no_scan_is_nobodys(greenroom: Served) -> None:
    """A job of a scan's type that somebody submits by hand belongs to no scan, whatever scan exists."""
    ann, bob, stage = greenroom.user("ann"), greenroom.user("bob"), Stage(greenroom.database)
    track(ann)
    scan_id = start(ann)["scan_id"]
    submit(bob, {"owner": "acme", "name": "site"}, type="scan.ingest")

    assert [taken.subject for taken in stage.take(2)].count(None) == 1
    with greenroom.database.write() as session:
        bob_id = items(bob, "/jobs")[0]["user"]
        assert scans.begin(session, scan_id=scan_id, user_id=bob_id, now=now(session)) is None


REFUSED = {
    "ftp": "ftp://example.org/site.git",
    "ssh": "ssh://git@example.org/site.git",
    "scp-like": "git@example.org:acme/site.git",
    "a remote helper": "ext::sh -c touch% /tmp/pwned",
    "an option": "--upload-pack=touch /tmp/pwned",
    "credentials": "https://ada:secret@example.org/site.git",
    "plain http": "http://93.184.216.34/site.git",
    "git's own": "git://203.0.113.1/site.git",
    "loopback": "https://127.0.0.1/site.git",
    "loopback in disguise": "https://2130706433/site.git",
    "loopback of IPv6": "https://[::1]/site.git",
    "mapped loopback": "https://[::ffff:127.0.0.1]/site.git",
    "metadata": "https://169.254.169.254/latest",
    "private": "https://10.0.0.8/site.git",
    "another port": "https://93.184.216.34:8443/site.git",
    "another network": "http://127.0.0.3/site.git",
    "no path": "https://example.org",
    "a fragment": "https://example.org/site.git#x",
    "a folder that is not allowed": "/etc",
    "the same as a URL": "file:///etc",
    "somebody else's folder": "file://example.org/srv/site.git",
    "out of the folder": "{allowed}/../private.git",
    "out of it in disguise": "file://{allowed}/%2e%2e/private.git",
    "next to it": "{allowed}-too/site.git",
    "relative": "mirrors/site.git",
    "a line break": "{allowed}/a\nb",
    "empty": "",
    "very long": "https://example.org/" + "x" * 2000,
}


@pytest.mark.parametrize("what", REFUSED)
def test_places_that_may_not_be_scanned(greenroom_on_sqlite: Served, allowed: Path, what: str) -> None:
    """S30, S32: a URL or path that no operator allows is a bad request that names the field, and nothing is written."""
    ann, stage = greenroom_on_sqlite.user("ann"), Stage(greenroom_on_sqlite.database)
    url = REFUSED[what].replace("{allowed}", str(allowed))

    answer = ann.post("/repos", json={"owner": "acme", "name": "site", "url": url})

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "VALIDATION", "url"), answer.text
    assert stage.rows("repositories") == 0


def test_a_folder_s_existence_is_not_told(greenroom_on_sqlite: Served, tmp_path: Path) -> None:
    """A path outside the allowed folders is refused in the same words whether it exists or not."""
    ann = greenroom_on_sqlite.user("ann")
    (tmp_path / "private.git").mkdir()

    there, not_there = (
        ann.post("/repos", json={"owner": "acme", "name": "site", "url": str(tmp_path / name)}).content
        for name in ("private.git", "nothing.git")
    )

    assert there == not_there


@pytest.mark.parametrize("url", ["http://127.0.0.2:8080/site.git", "git://127.0.0.2/site.git", "https://127.0.0.2:444/site.git"])
def test_an_operator_may_allow_a_network(greenroom_on_sqlite: Served, url: str) -> None:
    """Where the operator's networks say so a private address, another port and http are tracked."""
    assert track(greenroom_on_sqlite.user("ann"), url=url)["url"] == url


def test_plain_http_needs_a_network(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no network is allowed, http is refused for a name too, before it is looked up."""
    monkeypatch.delenv("GREENROOM_SCAN_NETWORKS")
    with served(sqlite_database) as greenroom:
        body = {"owner": "acme", "name": "site", "url": "http://example.org/site.git"}
        assert greenroom.user("ann").post("/repos", json=body).status_code == 400


BAD = {
    "no name": {"owner": "acme"},
    "a slash": {"owner": "acme", "name": "a/b"},
    "dots": {"owner": "..", "name": "site"},
    "a dot": {"owner": "acme", "name": "."},
    "a line break": {"owner": "acme", "name": "site\n"},
    "empty": {"owner": "", "name": "site"},
    "long": {"owner": "acme", "name": "x" * 101},
    "an unknown field": {"owner": "acme", "name": "site", "user": "bob"},
    "a number": {"owner": "acme", "name": 7},
    "a list": [],
}


@pytest.mark.parametrize("what", BAD)
def test_bad_bodies_are_refused(greenroom_on_sqlite: Served, what: str) -> None:
    """What is no repository is a bad request, and nothing is written."""
    answer = greenroom_on_sqlite.user("ann").post("/repos", json=BAD[what])

    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION"), answer.text
    assert Stage(greenroom_on_sqlite.database).rows("repositories") == 0
