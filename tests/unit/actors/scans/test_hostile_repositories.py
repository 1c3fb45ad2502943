"""Hostile repositories: what their servers, their commits and their sizes try does not reach past the scan of that repository."""

import os
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from actors.scans import git as gits
from actors.scans.errors import RepositoryUnreachableError, RepositoryUnreadableError
from actors.scans.git import Mirror
from actors.scans.places import Place
from tests import factories_git
from tests.factories_git import Change
from tests.git_servers import elsewhere, running, served_folder


def test_a_server_sends_git_nowhere_else(open_mirror: Callable[..., Mirror]) -> None:
    """S31: a part of an answer that is said to be at another address is not fetched from there, nor anything said to be there."""
    asked: list[str] = []

    class Inside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with running(Inside) as inside, elsewhere(f"http://127.0.0.1:{inside}/latest/meta-data") as port:
        mirror = open_mirror(Place(f"http://127.0.0.1:{port}/r", "http"))
        refs = mirror.refs()
        with pytest.raises((RepositoryUnreachableError, RepositoryUnreadableError)):
            mirror.fetch(refs.default, [1])
    assert sorted(refs.pulls) == [1]
    assert asked == []


def test_words_of_a_commit_are_no_options(tmp_path: Path, open_mirror: Callable[..., Mirror]) -> None:
    """A message with the characters between git's fields in it makes no commit of its words, and no file is written."""
    site = factories_git.repository(tmp_path / "site.git", [Change(1, "One", "a.py", "hello\n")])
    head = factories_git.git(site, "rev-parse", "refs/pull/1/head").strip()
    precious = tmp_path / "x...refs" / "scan" / "pulls" / "1"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    said = f"x\x1e--output={tmp_path}/x {head}\n\nMerge pull request #1 from a/b".encode()
    who = b"committer Ada <ada@example.org> 1700000100 +0000\n"
    factories_git.add(site, [b"commit refs/heads/main\n%sdata %d\n%s\nfrom refs/heads/main^0\n" % (who, len(said), said)])

    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1])
    merges = mirror.merges()

    assert merges == {}
    assert b"+hello" in mirror.diff(1, refs.pulls[1], merges.get(1))
    assert precious.read_text() == "precious"


def test_one_change_that_unfolds_without_end(
    tmp_path: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a pull request whose few trees stand for a thousand million files nothing is read, and the others are."""
    monkeypatch.setattr(gits, "_MOST_MEMORY_BYTES", 2**28)
    site = factories_git.repository(tmp_path / "site.git", [Change(1, "Fine", "a.py", "hello\n")])
    kind, found = "100644 blob", _made(site, "hash-object -w --stdin", "")
    for _ in range(9):
        found = _made(site, "mktree", "".join(f"{kind} {found}\tf{number}\n" for number in range(10)))
        kind = "040000 tree"
    main = factories_git.git(site, "rev-parse", "refs/heads/main").strip()
    bomb = factories_git.git(site, "commit-tree", found, "-p", main, "-m", "bomb").strip()
    factories_git.git(site, "update-ref", "refs/pull/2/head", bomb)

    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1, 2])

    assert mirror.diff(2, refs.pulls[2], None) == b""
    assert b"+hello" in mirror.diff(1, refs.pulls[1], None)


def test_one_change_that_takes_too_long(site: Path, open_mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read of a pull request with which git does not come to an end."""
    mirror = open_mirror(site)
    refs = mirror.refs()
    mirror.fetch(refs.default, [1])
    monkeypatch.setattr(gits, "_DIFF_SECONDS", 0.0)
    assert mirror.diff(1, refs.pulls[1], None) == b""


def test_objects_of_their_own_count(tmp_path: Path, open_mirror: Callable[..., Mirror]) -> None:
    """A server of the old kind that gives objects one by one fills no more of the disk than one that gives packs."""
    site = factories_git.repository(tmp_path / "site.git")
    blobs = [_made(site, "hash-object -w --stdin", os.urandom(300_000).hex()) for _ in range(20)]
    tree = _made(site, "mktree", "".join(f"100644 blob {blob}\tf{number}\n" for number, blob in enumerate(blobs)))
    large = factories_git.git(site, "commit-tree", tree, "-m", "large").strip()
    factories_git.git(site, "update-ref", "refs/pull/1/head", large)
    factories_git.git(site, "update-server-info")
    with served_folder(tmp_path) as port:
        mirror = open_mirror(Place(f"http://127.0.0.1:{port}/site.git", "http"), most_bytes=2**20)
        refs = mirror.refs()
        with pytest.raises(RepositoryUnreadableError, match="disk space"):
            mirror.fetch(refs.default, [1])


def _made(site: Path, command: str, content: str) -> str:
    """Let git make an object; gives its id."""
    done = subprocess.run(["git", *command.split()], cwd=site, input=content, text=True, capture_output=True, check=True)
    return done.stdout.strip()
