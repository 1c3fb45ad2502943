"""Git repositories with pull requests, made for a test."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_WHO = "Ada <ada@example.org> 1700000000 +0000"
_ENVIRONMENT = {"PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent", "LC_ALL": "C"}


@dataclass(frozen=True)
class Change:
    """A pull request: its title and the content that it gives to a file."""

    number: int
    title: str
    path: str
    content: str


def lines(topic: str, count: int = 30) -> str:
    """Write text that has no line in common with that of another topic."""
    return "".join(f"{topic} has a line of its own, number {number}\n" for number in range(count))


def some_changes() -> list[Change]:
    """Five pull requests: 1 and 4 are near duplicates, so are 2 and 5, and 3 is like nothing else."""
    login, cache = lines("the login"), lines("the cache")
    return [
        Change(1, "Fix the login on slow networks", "login.py", login),
        Change(2, "Add a cache for pages", "cache.py", cache),
        Change(3, "Explain the set-up", "README.md", lines("the set-up")),
        Change(4, "Fix login on slow networks", "login.py", login + "and one more\n"),
        Change(5, "Add cache for the pages", "cache.py", cache.replace("number 7\n", "number seven\n")),
    ]


def repository(folder: Path, changes: Sequence[Change] = (), *, branch: str = "main") -> Path:
    """Make a bare repository with a commit on its default branch and a `refs/pull/N/head` for each change.

    :returns: the folder.
    """
    git(folder.parent, "init", "--quiet", "--bare", f"--initial-branch={branch}", str(folder))
    stream = [_commit(f"refs/heads/{branch}", 1, "Begin", "README.md", "A project\n", parent=None)]
    for place, change in enumerate(changes, 2):
        reference = f"refs/pull/{change.number}/head"
        stream.append(_commit(reference, place, change.title, change.path, change.content, parent=1))
    add(folder, stream)
    return folder


def add(folder: Path, stream: Sequence[bytes]) -> None:
    """Read commits into a repository, as `git fast-import` takes them."""
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=folder, input=b"".join(stream) + b"done\n", check=True, capture_output=True, env=_ENVIRONMENT,
    )  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    """Run a git command in a folder, without anybody's configuration."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True, env=_ENVIRONMENT)
    return done.stdout


def _commit(reference: str, mark: int, message: str, path: str, content: str, *, parent: int | None) -> bytes:
    said, text = message.encode(), content.encode()
    head = f"reset {reference}\ncommit {reference}\nmark :{mark}\ncommitter {_WHO}\ndata {len(said)}\n".encode()
    come_from = f"\nfrom :{parent}\n".encode() if parent is not None else b"\n"
    return head + said + come_from + f"M 100644 inline {path}\ndata {len(text)}\n".encode() + text + b"\n"
