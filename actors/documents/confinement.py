"""What the reader's process gives up before it touches a document: memory, time, files, the network, its privileges.

Nothing in here needs a right that an ordinary user lacks. Layers that a machine refuses (a container may forbid name
spaces) are left out; those that carry the promise, the resource limits and `seal`, work everywhere on Linux.
"""

import ctypes
import os
import re
import resource
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_NICENESS = 5
_FILES_WHILE_LOADING = 64
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_REFUSED = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "ctypes.dlopen",
    "pty.",
)


def confine(*, memory_bytes: int, cpu_seconds: int, output_bytes: int, parent: int) -> None:
    """Set this process's limits for good and cut it off from the network.

    `memory_bytes`: of address space. `output_bytes`: of any file. `parent`: the process without
    which this one ends.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, output_bytes)
    _limit(resource.RLIMIT_NOFILE, _FILES_WHILE_LOADING)
    # SIGXCPU at the soft limit tells the parent why; one second later comes SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    os.nice(_NICENESS)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # A worker that is killed takes its readers along. The parent may have died before this line: look.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # A new user name space also takes root's privileges over the machine away.
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWNET)
    if os.getppid() != parent:
        sys.exit(1)


def seal() -> None:
    """Forbid this process to open anything more: no file, no socket, no pipe, no child, in Python or in native code."""
    sys.addaudithook(_refuse)
    # What is open stays open, but no new descriptor can be had, and without one there is neither file nor socket.
    _limit(resource.RLIMIT_NOFILE, 0)


def open_status() -> int | None:
    """Return a descriptor for peak_memory, or None where the system has none; before `seal`, which forbids opening."""
    try:
        return os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def peak_memory(status: int | None) -> int:
    """Return the most memory in bytes that this process has held; 0 if unknown.

    Not `getrusage`: on Linux its figure begins with that of the parent.
    """
    if status is None:
        return 0
    match = _PEAK.search(os.pread(status, 4096, 0))
    return int(match.group(1)) * 1024 if match else 0


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"{event} is forbidden in the reader")


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))
