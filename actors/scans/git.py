"""Git: a repository's pull requests, read from a mirror into a copy of our own, in which nothing of the mirror can run."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from actors.scans.commands import CommandTimeoutError, Done, run
from actors.scans.errors import GitUnusableError, RepositoryUnreachableError, RepositoryUnreadableError
from actors.scans.places import Place

MOST_DIFF_BYTES = 64 * 1024

_OLDEST = (2, 37)  # the first that connects where it is told to
_MOST_LISTED_BYTES = 64 * 1024 * 1024
_MOST_LOG_BYTES = 16 * 1024 * 1024
_LIST_SECONDS = 60.0
_FETCH_SECONDS = 600.0
_LOCAL_SECONDS = 60.0
_DIFF_SECONDS = 15.0
# A few kilobytes can unfold to anything: trees of trees, packed answers, commits of zeros.
_MOST_MEMORY_BYTES = 1024**3

_PULL = re.compile(r"refs/pull/([1-9][0-9]{0,17})/head")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MERGED = re.compile(r"Merge pull request #([1-9][0-9]{0,17})\b")
_SQUASHED = re.compile(r"(.+) \(#([1-9][0-9]{0,17})\)")
_BRANCHES = ("refs/heads/main", "refs/heads/master", "refs/heads/trunk", "refs/heads/develop")

# What git says of a place where trying again will not help; with LC_ALL=C it always says it so.
_HOPELESS = re.compile(
    r"not found|does not appear to be a git repository|not a git repository|could not read (Username|Password)"
    r"|Authentication failed|terminal prompts disabled|returned error: (3\d\d|40[0134])|certificate|redirect"
    r"|is this a git repository|bad config|transport '.*' not allowed",
    re.IGNORECASE,
)
# What it says when a file has become as large as it may.
_TOO_LARGE = re.compile(r"File too large")
_TOO_MUCH_MEMORY = re.compile(r"out of memory|cannot allocate memory|cannot be mapped|failed to allocate", re.IGNORECASE)


class Refs(NamedTuple):
    """What a mirror has.

    :param default: the name of its default branch; None when it has none.
    :param pulls: the commit at the tip of each pull request, by number.
    """

    default: str | None
    pulls: dict[int, str]


class Merge(NamedTuple):
    """What the default branch says of a pull request that was merged into it.

    :param base: the commit into which its tip was merged; None when it was squashed.
    """

    title: str
    base: str | None
    head: str | None


class Mirror:
    """A copy of as much of a repository as is asked for.

    :param folder: an empty one, for this copy alone.
    :param most_bytes: of disk space that the copy may take.
    :param check: called about ten times a second; what it raises ends what git is at.
    :raises GitUnusableError: there is no git, or one that is too old.
    """

    def __init__(self, place: Place, folder: Path, *, most_bytes: int, check: Callable[[], None]) -> None:
        program = shutil.which("git")
        if program is None:
            raise GitUnusableError("There is no git program on the worker's machine: install git 2.37 or newer.")
        self._git = program
        self._place = place
        self._folder = folder
        self._most_bytes = most_bytes
        self._check = check
        self._environment = _environment(place, folder, program)
        (folder / "config").write_text(_config(place))
        version = self._run("--version").output.decode(errors="replace")
        numbers = re.search(r"(\d+)\.(\d+)", version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) < _OLDEST:
            raise GitUnusableError(f"The worker's machine has {version.strip()}: 2.37 or newer is needed.")
        self._local("init", "--quiet", "--bare", "--template=", str(folder / "copy.git"))

    def refs(self) -> Refs:
        """Ask which branches and pull requests there are.

        :raises RepositoryUnreadableError: there is no repository.
        :raises RepositoryUnreachableError: it could not be asked.
        """
        patterns = ("HEAD", "refs/heads/*", "refs/pull/*/head")
        done = self._remote("ls-remote", "--symref", "--", self._place.url, *patterns, seconds=_LIST_SECONDS)
        branches, pulls, head = [], {}, None
        for line in done.output.decode(errors="replace").splitlines():
            what, _, name = line.partition("\t")
            if name == "HEAD" and what.startswith("ref: "):
                head = what.removeprefix("ref: ")
            elif not _COMMIT.fullmatch(what):
                continue
            elif match := _PULL.fullmatch(name):
                pulls[int(match[1])] = what
            elif name.startswith("refs/heads/"):
                branches.append(name)
        return Refs(next((name for name in (head, *_BRANCHES, *branches[:1]) if name in branches), None), pulls)

    def fetch(self, default: str | None, numbers: Iterable[int]) -> None:
        """Copy the default branch and some pull requests.

        :raises RepositoryUnreadableError: it takes more disk space than it may.
        :raises RepositoryUnreachableError: that did not work.
        """
        specs = [f"+refs/pull/{number}/head:refs/scan/pulls/{number}" for number in numbers]
        if default is not None:
            specs.append(f"+{default}:refs/scan/default")
        options = (
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--refmap=",
        )
        self._remote("fetch", *options, "--", self._place.url, *specs, seconds=_FETCH_SECONDS)
        self._look()

    def merges(self) -> dict[int, Merge]:
        """Read off the default branch which pull requests were merged, and under which title."""
        # NUL is the one character that no commit's words can have.
        log = self._run("log", "-z", "--first-parent", "--format=%P%x00%s%x00%b", "refs/scan/default", "--", most=_MOST_LOG_BYTES)
        words = log.output.decode(errors="replace").split("\0")
        found: dict[int, Merge] = {}
        for parents, subject, body in zip(words[::3], words[1::3], words[2::3], strict=False):  # the last one may be cut off
            commits = parents.split()
            if not all(map(_COMMIT.fullmatch, commits)):
                break
            if match := _MERGED.match(subject):
                title = next((line.strip() for line in body.splitlines() if line.strip()), "")
                if len(commits) > 1:
                    found.setdefault(int(match[1]), Merge(title, commits[0], commits[1]))
            elif match := _SQUASHED.fullmatch(subject):
                found.setdefault(int(match[2]), Merge(match[1], None, None))
        return found

    def subjects(self, numbers: Sequence[int]) -> dict[int, str]:
        """Read the subject of the commit at the tip of pull requests that have been copied."""
        if not numbers:
            return {}
        names = [f"refs/scan/pulls/{number}" for number in numbers]
        done = self._local("for-each-ref", "--format=%(refname)%00%(contents:subject)", *names)
        lines = (line.partition("\0") for line in done.output.decode(errors="replace").splitlines())
        return {int(name.rpartition("/")[2]): subject for name, _, subject in lines if subject}

    def diff(self, number: int, head: str, merge: Merge | None) -> bytes:
        """Read what a pull request changes, without context, and no more of it than `MOST_DIFF_BYTES`.

        Nothing of one that takes git too long or too much memory: it is no reason to give up the others.
        """
        base = merge.base if merge is not None and merge.base is not None and merge.head == head else "refs/scan/default"
        shape = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--unified=0", "--no-prefix")
        tip = f"refs/scan/pulls/{number}"
        try:
            changes = self._command("diff", *shape, f"{base}...{tip}", "--", most=MOST_DIFF_BYTES, seconds=_DIFF_SECONDS)
            if changes.status in {0, None} and changes.output:
                return changes.output
            # It has nothing that its base has not, as after a merge without a commit of its own, or no common past with it.
            return self._command("show", *shape, "--format=", tip, "--", most=MOST_DIFF_BYTES, seconds=_DIFF_SECONDS).output
        except CommandTimeoutError:
            return b""

    def _remote(self, *arguments: str, seconds: float) -> Done:
        try:
            done = self._command(*arguments, seconds=seconds, most_file_bytes=self._most_bytes)
        except CommandTimeoutError:
            raise RepositoryUnreachableError(f"The repository did not answer within {seconds:g} seconds.") from None
        if done.status == 0:
            return done
        said = done.said.strip()
        if done.status is None:
            raise RepositoryUnreadableError("The repository has too many branches and pull requests to be listed.")
        error: Exception
        if _TOO_LARGE.search(said):
            error = self._too_large()
        elif _TOO_MUCH_MEMORY.search(said):
            error = RepositoryUnreadableError(f"Git needs more than {_MOST_MEMORY_BYTES // 1024**2} MiB of memory for it.")
        elif _HOPELESS.search(said):
            error = RepositoryUnreadableError("There is no git repository that can be read without signing in.")
        else:
            error = RepositoryUnreachableError("The repository could not be reached.")
        error.add_note(said)  # for the traceback: what git says may quote the server
        raise error

    def _local(self, *arguments: str) -> Done:
        done = self._run(*arguments, most=_MOST_LOG_BYTES)
        if done.status:
            error = RepositoryUnreachableError("The copy of the repository could not be read.")
            error.add_note(done.said)
            raise error
        return done

    def _run(self, *arguments: str, most: int = _MOST_LISTED_BYTES) -> Done:
        try:
            return self._command(*arguments, seconds=_LOCAL_SECONDS, most=most)
        except CommandTimeoutError:
            message = f"Git did not come to an end with the copy of the repository within {_LOCAL_SECONDS:g} seconds."
            raise RepositoryUnreadableError(message) from None

    def _command(
        self, *arguments: str, seconds: float, most: int = _MOST_LISTED_BYTES, most_file_bytes: int | None = None
    ) -> Done:
        return run(
            [self._git, *arguments],
            environment=self._environment,
            folder=str(self._folder),
            seconds=seconds,
            most_bytes=most,
            check=self._look,
            most_memory_bytes=_MOST_MEMORY_BYTES,
            most_file_bytes=most_file_bytes,
        )

    def _look(self) -> None:
        self._check()
        if _size(self._folder) > self._most_bytes:
            raise self._too_large()

    def _too_large(self) -> Exception:
        return RepositoryUnreadableError(f"The repository takes more than {self._most_bytes // 1024**2} MiB of disk space.")


def _environment(place: Place, folder: Path, program: str) -> dict[str, str]:
    """Nothing of this process's environment, which holds keys, addresses and proxies; and no configuration but ours."""
    return {
        "PATH": f"{Path(program).parent}:/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "GIT_DIR": str(folder / "copy.git"),
        "GIT_CONFIG_GLOBAL": str(folder / "config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": place.protocol,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_SSH_COMMAND": "false",
    }


def _config(place: Place) -> str:
    """Write the only configuration that counts. It is a file, for what is given on the command line reaches no child of git."""
    pinned = f"\tcurloptResolve = {_quoted(place.pinned)}\n" if place.pinned else ""
    # A server may send git elsewhere for a part of its answer. There only a proxy leads that does not exist.
    origin = f'[http "{"/".join(place.url.split("/")[:3])}/"]\n\tproxy =\n' if place.protocol.startswith("http") else ""
    safe = f"[safe]\n\tdirectory = {_quoted(place.url)}\n" if place.protocol == "file" else ""
    return (
        "[core]\n\tbigFileThreshold = 8m\n\tpackedGitWindowSize = 16m\n\tpackedGitLimit = 128m\n"
        "\thooksPath = /dev/null\n\tattributesFile = /dev/null\n\tfsmonitor = false\n"
        "[protocol]\n\tallow = never\n"
        f'[protocol "{place.protocol}"]\n\tallow = always\n'
        "[credential]\n\thelper =\n"
        "[http]\n\tfollowRedirects = false\n\tproxy = http://0.0.0.0:0\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 30\n"
        f"{pinned}{origin}"
        "[fetch]\n\trecurseSubmodules = false\n\tunpackLimit = 1\n"
        "[submodule]\n\trecurse = false\n[transfer]\n\tbundleURI = false\n[gc]\n\tauto = 0\n"
        "[maintenance]\n\tauto = false\n[pack]\n\tthreads = 1\n[diff]\n\trenames = false\n"
        f"{safe}"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _size(folder: Path) -> int:
    """Add up the copy's objects: packs, and what servers of the old kind give one by one."""
    total = 0
    for place, _, names in os.walk(folder / "copy.git" / "objects"):
        for name in names:
            with suppress(OSError):  # it has been renamed meanwhile
                total += Path(place, name).stat().st_size
    return total
