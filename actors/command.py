"""A command as the worker of a job: any program that reads JSON and writes JSON.

    @job("reports.render", payload=Report, time_limit_seconds=60)
    def render(job: JobContext, report: Report) -> Any:
        return run_command(["node", "render.js"], report, job)

The request comes on the command's standard input and its result is what it prints; standard error ends up in the error of an
attempt that fails. The command and whatever it has started are killed when the job is cancelled, the time is over or the worker
stops, and also when the worker is killed (see guard.py).
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from actors.context import JobContext
from actors.payloads import PayloadType
from actors.settings import plain_environment
from middleware.errors import Retryable
from middleware.text import storable

_GUARD = Path(__file__).with_name("guard.py")
_LOOK_SECONDS = 0.1  # between two looks at the time; an interrupt for this thread arrives no later
_PIECE_BYTES = 64 * 1024
_OUTPUT_BYTES = 16 * 1024 * 1024
_TAIL_BYTES = 2_000
_END_SECONDS = 10.0
# The command's time ends this much before the attempt's, so that the error can say what it printed.
_MARGIN_SECONDS = 0.5


class CommandError(Retryable):
    """A command did not do its work.

    `status`: its exit status, the negative number of the signal that ended it, or None where it has none. `stderr`: the last
    2,000 bytes of its standard error.
    """

    def __init__(self, sentence: str, *, status: int | None = None, stderr: str = "") -> None:
        super().__init__(f"{sentence}\n{stderr}" if stderr else sentence)
        self.status = status
        self.stderr = stderr


class CommandFailedError(CommandError):
    """The command ended with another status than 0, or by a signal."""


class CommandTimeoutError(CommandError):
    """The command took longer than it may."""


class CommandOutputError(CommandError):
    """What the command printed is no JSON, not of the wanted type, or too much."""


def run_command(
    command: Sequence[str],
    request: Any,
    job: JobContext,
    *,
    result: Any = Any,
    time_limit_seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
) -> Any:
    """Let a command do a job's work.

    :param command: the program and its arguments; no shell has a part in it.
    :param request: written as JSON to its standard input.
    :param result: the type of what it prints: a msgspec Struct, a dataclass, a pydantic model or any type that msgspec knows.
    :param time_limit_seconds: how long it may take; it never has longer than the attempt.
    :param environment: its variables. Of the worker's own, which hold keys and addresses, it gets PATH, HOME and the like only.
    :param folder: where it runs; None for the worker's folder.
    :returns: what it printed, as `result`.
    :raises CommandFailedError: it failed, with its status and the end of its standard error.
    :raises CommandTimeoutError: the time was over.
    :raises CommandOutputError: its output cannot be used.
    """
    left = job.seconds_left
    limits = [time_limit_seconds, None if left is None else max(left - _MARGIN_SECONDS, left / 2)]
    limit = min((seconds for seconds in limits if seconds is not None), default=None)
    ours, theirs = socket.socketpair()
    process: subprocess.Popen[bytes] | None = None
    with ours, theirs, tempfile.TemporaryFile() as asked:
        asked.write(PayloadType(None).encode(request))
        asked.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the author's command, and no shell
                guarded(theirs, command),
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env=plain_environment() | dict(environment or {}),
                cwd=folder,
                start_new_session=True,
            )
            theirs.close()
            output, said = _follow(process, job, limit)
            status = status_of(ours)
        finally:
            # Whatever ends this block, a time limit thrown into this thread included: the guard ends all of it.
            ours.close()
            theirs.close()
            if process is not None:
                end_guard(process)
    if status != 0:
        raise CommandFailedError(f"the command {_how(status)}", status=status, stderr=said)
    try:
        return PayloadType(result).decode(output)
    except ValueError as error:  # msgspec's and pydantic's errors are ValueErrors
        raise CommandOutputError(f"the command's output cannot be used: {error}", status=0, stderr=said) from error


def guarded(line: socket.socket, command: Sequence[str]) -> list[str]:
    """Put the guard before a command: nothing that the command starts outlives it, or the other end of the line.

    :param line: has to be passed on to the guard.
    """
    return [sys.executable, "-I", "-S", "-B", str(_GUARD), str(line.fileno()), *command]


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its group, and all of that group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def last_words(errors: IO[bytes], most_bytes: int) -> str:
    """Read the end of a file into which a process wrote its standard error."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(errors.tell() - most_bytes, 0))
    return errors.read().decode(errors="replace")


def _follow(process: subprocess.Popen[bytes], job: JobContext, limit: float | None) -> tuple[bytes, str]:
    """Read until the guard has ended; what it waits for is the command and all that came of it."""
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    deadline = None if limit is None else time.monotonic() + limit
    output, tail = bytearray(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            job.check()
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeoutError(f"the command took longer than {limit:g} seconds", stderr=_text(tail))
            is_over = process.poll() is not None  # before the look, so that nothing of what it said is missed
            ready = selector.select(0 if is_over else _LOOK_SECONDS)
            if is_over and not ready:
                break  # somebody killed the guard, and the command still holds its ends of the pipes
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE_BYTES)
                if not piece:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    tail = (tail + piece)[-_TAIL_BYTES:]
                else:
                    output += piece
            if len(output) > _OUTPUT_BYTES:
                raise CommandOutputError(f"the command printed more than {_OUTPUT_BYTES} bytes", stderr=_text(tail))
    return bytes(output), _text(tail)


def end_guard(process: subprocess.Popen[bytes]) -> None:
    """Wait until the guard, whose line is cut, has ended all that is below it; then nothing is left but, at worst, itself."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    end_group(process)


def status_of(line: socket.socket) -> int | None:
    """Read what the guard says of its command: the status, negative for a signal; None when the guard itself was killed."""
    line.setblocking(False)
    try:
        return int(line.recv(20))
    except (BlockingIOError, ValueError):
        return None


def _how(status: int | None) -> str:
    if status is None:
        return "was killed"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _text(said: bytes) -> str:
    return storable(said.decode(errors="replace")).strip()
