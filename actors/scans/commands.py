"""Commands: a program run in a session of its own, with limits, and always ended together with its children."""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from actors.command import end_group, end_guard, guarded, last_words, status_of

_LOOK_SECONDS = 0.1  # between two looks at the deadline; an exception for this thread arrives no later
_PIECE_BYTES = 64 * 1024
_SAID_BYTES = 4_000
_EXIT_SECONDS = 5.0
# Puts itself in the command's place once it has limited the files. It is a program of its own, for between a fork and an exec a
# process with threads may do next to nothing; and it leaves SIGXFSZ ignored, so that the command can say what was too large.
_LEASH = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would the command
os.execv(sys.argv[2], sys.argv[2:])
"""


class CommandTimeoutError(Exception):
    """The command took longer than it may."""


class Done(NamedTuple):
    """What came of a command.

    :param status: its exit status; None when it was ended because it had written enough.
    :param output: the first bytes of its standard output.
    :param said: the end of its standard error.
    """

    status: int | None
    output: bytes
    said: str


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: str,
    seconds: float,
    most_bytes: int,
    check: Callable[[], None],
    most_memory_bytes: int,
    most_file_bytes: int | None = None,
) -> Done:
    """Run a command to its end, or until it has written enough.

    :param environment: all of its environment.
    :param folder: where it runs.
    :param most_bytes: of its standard output; it is ended when it writes more.
    :param check: called about ten times a second; what it raises ends the command.
    :param most_memory_bytes: for the command and each of its children, on Linux.
    :param most_file_bytes: if it is given no file that the command and its children write grows larger, and all of them end with
        this process: for what waits for others, and would not notice by itself that nobody is there any more.
    :raises CommandTimeoutError: it took longer than `seconds`.
    """
    command = list(arguments)
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as errors:
        is_guarded = most_file_bytes is not None
        if is_guarded:
            command = guarded(theirs, [sys.executable, "-I", "-S", "-c", _LEASH, str(most_file_bytes), *command])
        process: subprocess.Popen[bytes] | None = None
        try:
            process = subprocess.Popen(  # noqa: S603 - the callers' words are constants, numbers and checked places
                _limited(command, most_memory_bytes),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
                pass_fds=(theirs.fileno(),) if is_guarded else (),
            )
            theirs.close()
            output, is_whole = _read(process, time.monotonic() + seconds, most_bytes, check)
            status = _wait(process, check) if is_whole else None
            if is_whole and is_guarded:
                status = status_of(ours) or status  # the guard's own is 0, and its signal where somebody has killed it
            return Done(status, output, last_words(errors, _SAID_BYTES))
        finally:
            # Whatever ends this block, a time limit thrown into this thread included, nothing of the command outlives it.
            ours.close()
            theirs.close()
            if process is not None and is_guarded:
                end_guard(process)
            elif process is not None:
                end_group(process)


def _limited(command: list[str], most_memory_bytes: int) -> list[str]:
    """Put a limit of memory before a command: it holds from the first instruction on, whatever the command starts."""
    if sys.platform != "linux":
        return command
    return ["/bin/sh", "-c", 'ulimit -v "$1" && shift && exec "$@"', "sh", str(most_memory_bytes // 1024), *command]


def _read(process: subprocess.Popen[bytes], deadline: float, most_bytes: int, check: Callable[[], None]) -> tuple[bytes, bool]:
    """Read what a command writes until it stops or has written enough, and tell whether that is all."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    descriptor, output = process.stdout.fileno(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            check()
            if time.monotonic() > deadline:
                raise CommandTimeoutError
            if not selector.select(_LOOK_SECONDS):
                continue
            piece = os.read(descriptor, _PIECE_BYTES)
            if not piece:
                return bytes(output), True
            output += piece
            if len(output) > most_bytes:
                return bytes(output[:most_bytes]), False


def _wait(process: subprocess.Popen[bytes], check: Callable[[], None]) -> int:
    deadline = time.monotonic() + _EXIT_SECONDS
    while True:
        check()
        try:
            return process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise CommandTimeoutError from None
