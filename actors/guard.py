"""The guard: a process between a worker and a command, that leaves nothing of the command behind. Run by path, never imported.

It ends, and all that the command has started with it, when the command has ended, and when its line to the worker is cut: the
worker says so by closing it, and where the worker is killed the kernel does. It knows the standard library only.
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_NOT_STARTED = 127  # a shell's status for a command that it does not find
_END_SECONDS = 5.0


def main(line: socket.socket, command: list[str]) -> None:
    """Run a command and send its status, negative for a signal, over the line to the worker."""
    if sys.platform == "linux":
        # Whoever loses its parent below us becomes our child: a daemon does not get away.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = subprocess.Popen(command)  # noqa: S603 - the author's command, as it is
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        status: int | None = _NOT_STARTED
    else:
        status = None
        while status is None:
            ready, _, _ = select.select([line.fileno(), woken], [], [])
            if line.fileno() in ready:
                break
            os.read(woken, 4096)
            status = child.poll()
    _kill_all()
    if status is not None:
        with suppress(OSError):
            line.sendall(str(status).encode())


def _kill_all() -> None:
    """Kill what is below this process until nothing is, for some fork faster than one look takes."""
    deadline = time.monotonic() + _END_SECONDS
    while (below := _descendants()) and time.monotonic() < deadline:
        for pid in below:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _descendants() -> list[int]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(folder.name))
    found = children[os.getpid()][:]
    for pid in found:  # which grows meanwhile
        found += children[pid]
    return found


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as worker:
        main(worker, sys.argv[2:])
    # Straight out: there is nothing to tidy up.
    os._exit(0)
