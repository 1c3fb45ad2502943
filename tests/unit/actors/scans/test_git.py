"""Git: what is read of a mirror, and that nothing of it, or of this machine, gets where it should not."""

import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from actors.job import Cancelled
from actors.scans import git as gits
from actors.scans import places
from actors.scans.errors import GitUnusableError, RepositoryUnreachableError, RepositoryUnreadableError
from actors.scans.git import MOST_DIFF_BYTES, Mirror
from actors.scans.places import Place
from actors.settings import ScanSettings
from tests import factories_git
from tests.factories_git import Change, lines
from tests.git_servers import running, served_folder
from tests.waiting import until

ROOM = 2**30


def test_pull_requests_are_read(site: Path, open_mirror: Callable[..., Mirror]) -> None:
    """The default branch, the tips, their subjects and their changed lines come out of a mirror."""
    mirror = open_mirror(site)

    refs = mirror.refs()
    mirror.fetch(refs.default, [1, 3])

    assert (refs.default, sorted(refs.pulls)) == ("refs/heads/main", [1, 2, 3, 4, 5])
    assert mirror.subjects([1, 3]) == {1: "Fix the login on slow networks", 3: "Explain the set-up"}
    diff = mirror.diff(3, refs.pulls[3], None).decode()
    assert "\n+++ README.md\n" in diff
    assert "\n-A project\n" in diff
    assert "\n+the set-up has a line of its own, number 0\n" in diff


def test_merged_ones_have_their_titles_and_changes(tmp_path: Path, open_mirror: Callable[..., Mirror]) -> None:
    """What was merged is no empty change: its base is the merge's, and its title the one that the merge tells of."""
    work = tmp_path / "work"
    factories_git.git(tmp_path, "init", "--quiet", "--initial-branch=main", str(work))

    def commit(message: str, name: str) -> None:
        (work / name).write_text(lines(name, 3))
        factories_git.git(work, "add", name)
        factories_git.git(work, "commit", "--quiet", "--message", message)

    commit("Begin", "a")
    factories_git.git(work, "checkout", "--quiet", "-b", "seven")
    commit("wip", "b")
    factories_git.git(work, "update-ref", "refs/pull/7/head", "seven")
    factories_git.git(work, "checkout", "--quiet", "main")
    merge = "Merge pull request #7 from ada/seven\n\nTeach it to count"
    factories_git.git(work, "merge", "--quiet", "--no-ff", "--message", merge, "seven")
    factories_git.git(work, "checkout", "--quiet", "-b", "eight")
    commit("more wip", "c")
    factories_git.git(work, "update-ref", "refs/pull/8/head", "eight")
    factories_git.git(work, "checkout", "--quiet", "main")
    commit("Let it sing (#8)", "d")
    mirror = open_mirror(work / ".git")

    refs = mirror.refs()
    mirror.fetch(refs.default, [7, 8])
    merges = mirror.merges()

    assert {number: found.title for number, found in merges.items()} == {7: "Teach it to count", 8: "Let it sing"}
    assert "+++ b" in mirror.diff(7, refs.pulls[7], merges[7]).decode()
    assert "+++ c" in mirror.diff(8, refs.pulls[8], merges[8]).decode()
    assert "+++ b" in mirror.diff(7, refs.pulls[7], None).decode()  # merged in a way that leaves no trace


def test_a_large_change_is_cut_off(tmp_path: Path, open_mirror: Callable[..., Mirror]) -> None:
    """Of a change of megabytes no more is read than the limit, and git is ended."""
    site = factories_git.repository(tmp_path / "site.git", [Change(1, "All", "a", lines("much", 100_000))])
    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1])

    assert len(mirror.diff(1, refs.pulls[1], None)) == MOST_DIFF_BYTES


def test_a_head_that_leads_nowhere(site: Path, open_mirror: Callable[..., Mirror]) -> None:
    """Where the mirror's HEAD names no branch, the usual names are tried, then any; without a branch there are still titles."""
    factories_git.git(site, "symbolic-ref", "HEAD", "refs/heads/gone")
    assert open_mirror(site).refs().default == "refs/heads/main"
    factories_git.git(site, "branch", "--move", "main", "odd")
    factories_git.git(site, "symbolic-ref", "HEAD", "refs/heads/gone")
    assert open_mirror(site).refs().default == "refs/heads/odd"
    factories_git.git(site, "update-ref", "-d", "refs/heads/odd")
    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1])
    assert refs.default is None
    assert (mirror.merges(), mirror.subjects([1])) == ({}, {1: "Fix the login on slow networks"})
    assert b"+the login has a line" in mirror.diff(1, refs.pulls[1], None)


def test_nothing_of_a_mirror_runs(site: Path, tmp_path: Path, open_mirror: Callable[..., Mirror]) -> None:
    """Neither hooks nor the configuration nor the attributes of a mirror make git run anything."""
    trap, canary = tmp_path / "trap", tmp_path / "canary"
    trap.write_text(f"#!/bin/sh\ntouch {canary}\nexec cat\n")
    trap.chmod(0o755)
    for hook in ("post-checkout", "pre-upload", "post-update", "reference-transaction", "post-index-change"):
        (site / "hooks").mkdir(exist_ok=True)
        (site / "hooks" / hook).write_text(trap.read_text())
        (site / "hooks" / hook).chmod(0o755)
    for name in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.alternateRefsCommand", "diff.external", "diff.evil.textconv",
        "diff.evil.command", "filter.evil.smudge", "filter.evil.clean", "uploadpack.packObjectsHook", "credential.helper",
        "core.gitProxy", "remote.origin.uploadpack", "gc.recentObjectsHook",
    ):  # fmt: skip
        factories_git.git(site, "config", name, str(trap))
    (site / "info").mkdir(exist_ok=True)
    (site / "info" / "attributes").write_text("* diff=evil filter=evil\n")

    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1, 2])
    mirror.merges()
    diff = mirror.diff(1, refs.pulls[1], None)

    assert b"+the login has a line" in diff
    assert not canary.exists()


@pytest.mark.parametrize("url", ["ext::touch /tmp/pwned", "ssh://127.0.0.1/site", "https://127.0.0.1:1/site", "-x"])
def test_only_the_place_s_protocol_is_spoken(url: str, open_mirror: Callable[..., Mirror]) -> None:
    """Git speaks no other protocol than the one of the place that was checked, whatever its URL says."""
    with pytest.raises((RepositoryUnreadableError, RepositoryUnreachableError)):
        open_mirror(Place(url, "file")).refs()
    assert not Path("/tmp/pwned").exists()  # noqa: S108 - must not be there


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_mirror_of_another_owner_is_read(site: Path, open_mirror: Callable[..., Mirror]) -> None:
    """An allowed folder may belong to somebody else: that it may be read is the operator's word."""
    for file in [site, *site.rglob("*")]:
        os.chown(file, 65534, 65534)
    assert sorted(open_mirror(site).refs().pulls) == [1, 2, 3, 4, 5]


def test_git_sees_nothing_of_this_process(
    tmp_path: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of the worker's environment reaches git: no key, no proxy, no configuration of git's."""
    seen = fake_git(tmp_path, monkeypatch, f"env >> {tmp_path / 'seen'}; echo git version 2.39.5")
    monkeypatch.setenv("GREENROOM_ADMIN_KEY", "kept-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.hooksPath=/tmp'")

    open_mirror(Place("https://example.org/x", "https", "example.org:443:192.0.2.1")).refs()

    told = (tmp_path / "seen").read_text()
    assert "GIT_TERMINAL_PROMPT=0" in told
    assert "GIT_ALLOW_PROTOCOL=https" in told
    assert not [word for word in ("kept-secret", "PROXY", "GIT_CONFIG_PARAMETERS", "GREENROOM") if word in told]
    assert seen.exists()


def test_without_git_it_is_said(tmp_path: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git, or with one that is too old, fails the job for good with a sentence for the operator."""
    place = Place("https://example.org/x", "https")
    fake_git(tmp_path, monkeypatch, "echo git version 2.30.2")
    with pytest.raises(GitUnusableError, match=r"git version 2\.30\.2: 2\.37 or newer"):
        open_mirror(place)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(GitUnusableError, match="no git program"):
        open_mirror(place)


def test_a_cancelled_job_ends_git_and_its_children(
    tmp_path: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the check raises, git is killed at once, and so is what it has started."""
    pids = tmp_path / "pids"
    script = f'[ "$1" = ls-remote ] || {{ echo git version 2.39.5; exit; }}; sleep 60 & echo $! $$ > {pids}; wait'
    fake_git(tmp_path, monkeypatch, script)

    def check() -> None:
        if pids.exists() and pids.read_text().endswith("\n"):
            raise Cancelled

    mirror = open_mirror(Place("https://example.org/x", "https"), check=check)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        mirror.refs()
    assert time.monotonic() - began < 30
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: not is_alive(pid), f"end of process {pid}")  # type: ignore[misc]


def test_a_silent_server_is_given_up(tmp_path: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing costs its time limit, and the job is tried again."""
    fake_git(tmp_path, monkeypatch, '[ "$1" = ls-remote ] || { echo git version 2.39.5; exit; }; exec sleep 60')
    monkeypatch.setattr(gits, "_LIST_SECONDS", 0.3)
    with pytest.raises(RepositoryUnreachableError, match=r"within 0\.3 seconds"):
        open_mirror(Place("https://example.org/x", "https")).refs()


def test_a_repository_may_be_too_large(site: Path, open_mirror: Callable[..., Mirror]) -> None:
    """A copy that outgrows its disk space ends the job for good."""
    mirror = open_mirror(site, most_bytes=100)
    refs = mirror.refs()
    with pytest.raises(RepositoryUnreadableError, match="disk space"):
        mirror.fetch(refs.default, [1, 2, 3])


def test_git_connects_to_the_address_that_was_checked(
    site: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means nothing to this machine is reached at the address that was checked, and nowhere else."""
    factories_git.git(site, "update-server-info")
    monkeypatch.setattr(places, "_resolve", lambda host, port: [places.ipaddress.ip_address("127.0.0.1")])
    with served_folder(site.parent) as port:
        place = places.locate(f"http://mirror.invalid:{port}/site.git", ScanSettings(networks="127.0.0.0/8"))  # type: ignore[arg-type]
        assert place is not None
        assert place.pinned == f"mirror.invalid:{port}:127.0.0.1"

        mirror = open_mirror(place)
        refs = mirror.refs()
        mirror.fetch(refs.default, [1])

    assert (refs.default, sorted(refs.pulls)) == ("refs/heads/main", [1, 2, 3, 4, 5])
    assert mirror.subjects([1]) == {1: "Fix the login on slow networks"}


def test_redirects_are_not_followed(open_mirror: Callable[..., Mirror]) -> None:
    """A server that sends git elsewhere is not followed, and the job fails for good."""
    reached = threading.Event()

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/inside"):
                reached.set()
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/inside{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with running(Elsewhere) as port, pytest.raises(RepositoryUnreadableError):
        open_mirror(Place(f"http://127.0.0.1:{port}/site.git", "http")).refs()
    assert not reached.is_set()


def test_nobody_there_is_tried_again(open_mirror: Callable[..., Mirror]) -> None:
    """A connection that is refused may succeed later; what is not found will not."""
    with pytest.raises(RepositoryUnreachableError):
        open_mirror(Place("http://127.0.0.1:1/site.git", "http")).refs()
    with pytest.raises(RepositoryUnreadableError):
        open_mirror(Path("/nowhere/site.git")).refs()


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a program of the test's own in git's place."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.defpath}")
    return program


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
