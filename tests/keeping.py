"""Private servers for tests: started as an account of their own, on a free port of 127.0.0.1, and gone when the tests are."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.ladder import UnavailableError

_START_SECONDS = 90.0
_PAUSE_SECONDS = 0.05

# It outlives a test run that is killed: its reading ends when the pipe loses its only writer. The server has a process group of
# its own, so that a Ctrl-C is for the tests alone and whatever the server has started ends with it.
_KEEPER = """
folder=$1; shift
start() { setsid "$@" >>"$folder/log" 2>&1 </dev/null & pid=$!; }
end_all() { kill -s KILL -- "-$pid" 2>/dev/null; }
finish() { kill -s TERM "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; end_all; }
start "$@"
while read -r word; do
    case $word in
        start) start "$@" ;;
        stop) finish ;;
        kill) end_all; wait "$pid" 2>/dev/null ;;
    esac
    echo done
done
finish
rm -rf "$folder"
"""


class Server:
    """A private server that a test may stop, kill and start.

    :param url: where it is reached, with the password.
    :param answers: whether it is ready; asked until it is.
    """

    def __init__(self, url: str, keeper: "subprocess.Popen[str]", answers: Callable[[], bool], log: Path) -> None:
        self.url = url
        self._keeper = keeper
        self._answers = answers
        self._log = log

    def stop(self) -> None:
        """End it in good order; what it has stored stays."""
        self._tell("stop")

    def kill(self) -> None:
        """End it and all its processes at once."""
        self._tell("kill")

    def start(self) -> None:
        """Start it again, on the same port and with what it had stored."""
        self._tell("start")
        self.wait()

    def wait(self) -> None:
        """Wait until it answers.

        :raises UnavailableError: it does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._keeper.poll() is not None:
                said = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "nothing"
                raise UnavailableError(f"the server did not start, and said: {said}")
            time.sleep(_PAUSE_SECONDS)

    def _tell(self, word: str) -> None:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{word}\n")
        self._keeper.stdin.flush()
        assert self._keeper.stdout.readline() == "done\n"


@contextmanager
def folder_of(account: str, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Make a folder for a server, and say as whom it is to run: as root's tests, under an account without rights.

    :param account: the server's own, if this machine has it.
    :returns: the folder, and words for `subprocess.Popen`.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"greenroom-{name}-"))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        names = {user.pw_name for user in pwd.getpwall()}
        found = pwd.getpwnam(account if account in names else "nobody")
        identity = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        shutil.chown(folder, found.pw_uid, found.pw_gid)
    try:
        yield folder, identity
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def kept(
    command: Sequence[str | Path],
    *,
    folder: Path,
    identity: Mapping[str, Any],
    url: str,
    answers: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server until the block or this process ends.

    Raises:
        UnavailableError: it does not start.
    """
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", folder, *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, **(environment or {}), "HOME": str(folder)}, start_new_session=True, **identity,
    )  # fmt: skip
    with keeper:  # leaving it closes the pipe and waits until the keeper has stopped the server
        server = Server(url, keeper, answers, folder / "log")
        server.wait()
        yield server


@contextmanager
def url_of(private: Callable[[], AbstractContextManager[Server]]) -> Iterator[str]:
    """Run a server for whoever needs its URL only."""
    with private() as server:
        yield server.url


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on.

    It is none of those from which connections start: a server that takes seconds to start would find it in use at times.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def give(folder: Path, name: str, text: str, identity: Mapping[str, Any]) -> Path:
    """Write a file into a server's folder that only the server can read."""
    path = folder / name
    path.touch(0o600)
    path.write_text(text)
    if identity:
        shutil.chown(path, identity["user"], identity["group"])
    return path
