"""Runs the reader (reader.py) on one document in a process of its own, with limits, and always ends it.

The process's standard input, output file and error file have no names: nothing is left behind, whatever dies.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, TypeVar

import msgspec

from actors.command import end_group, last_words
from actors.documents.errors import ReaderFailedError, ReaderTimeoutError, UnreadableDocumentError
from actors.documents.reading.book import Done, Message, PageRead, Ready, Refused

Command = Literal["inspect", "extract", "describe", "convert"]
T = TypeVar("T", bound=msgspec.Struct)

_READER = Path(__file__).with_name("reader.py")
_LOOK_SECONDS = 0.1  # between two looks at the deadline; an exception for this thread arrives no later
_EXIT_SECONDS = 2.0
_LINE_BYTES = 64 * 1024
_MESSAGES_BYTES = 2 * 1024 * 1024
_ERROR_TAIL_BYTES = 2_000
_MESSAGE = msgspec.json.Decoder(Message)


class Limits(NamedTuple):
    """What one reader may use: bytes of address space and of its output, seconds of processor and of wall time."""

    memory_bytes: int = 512 * 1024 * 1024
    cpu_seconds: int = 60
    wall_seconds: float = 110.0
    output_bytes: int = 64 * 1024 * 1024


class Reading(NamedTuple):
    """The raw JSON of a reader's result, the file it made, its peak memory in bytes and processor time in seconds."""

    result: bytes
    output: bytes
    memory_bytes: int
    cpu_seconds: float

    def result_as(self, kind: type[T]) -> T:
        """Return the result as `kind`; raises ReaderFailedError if it is not one."""
        try:
            return msgspec.json.decode(self.result, type=kind)
        except msgspec.ValidationError as error:
            raise ReaderFailedError(f"the reader answered with something else than {kind.__name__}") from error


def read(
    command: Command,
    source: bytes,
    *,
    progress: Callable[[int, int], None] = lambda _page, _of: None,
    check: Callable[[], None] = lambda: None,
    title: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> Reading:
    """Do `command` on `source` in a reader process and return what came of it.

    `progress`: called with the page just done and the number of pages. `check`: called ten times a second and more;
    what it raises ends the reader. Raises UnreadableDocumentError if the document is to blame, ReaderTimeoutError if
    the machine was too busy, ReaderFailedError if the reader could not work.
    """
    with tempfile.TemporaryFile() as document, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        document.write(source)
        document.seek(0)
        process: subprocess.Popen[bytes] | None = None
        try:
            process = _start(command, title, limits, document=document, output=output, errors=errors)
            done = _follow(process, progress, check, limits, errors)
            output.seek(0)
            return Reading(bytes(done.result), output.read(), done.memory_bytes, done.cpu_seconds)
        finally:
            # Whatever ends this block, a time limit thrown into this thread included, the reader does not outlive it.
            if process is not None:
                end_group(process)


def _start(
    command: Command, title: str | None, limits: Limits, *, document: IO[bytes], output: IO[bytes], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    request = {
        "command": command,
        "title": title,
        "output": output.fileno(),
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
            "output_bytes": limits.output_bytes,
            "parent": os.getpid(),
        },
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own file; nothing of the document is an argument
        [sys.executable, "-I", "-B", str(_READER), json.dumps(request)],
        stdin=document,
        stdout=subprocess.PIPE,
        stderr=errors,
        pass_fds=(output.fileno(),),
        # None of this process's environment: it holds keys and addresses.
        env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        cwd="/",
        start_new_session=True,
    )


def _follow(
    process: subprocess.Popen[bytes],
    progress: Callable[[int, int], None],
    check: Callable[[], None],
    limits: Limits,
    errors: IO[bytes],
) -> Done:
    ready = False
    for message in _messages(process, check, limits):
        match message:
            case Ready():
                ready = True
            case PageRead(page=page, of=of):
                progress(page, of)
            case Refused(code=code, message=sentence):
                raise UnreadableDocumentError(code, sentence)
            case Done():
                return message
    raise _death(process, errors, limits, ready=ready)


def _messages(process: subprocess.Popen[bytes], check: Callable[[], None], limits: Limits) -> Iterator[Message]:
    """Yield the reader's messages until it closes its output; raises ReaderTimeoutError at the wall limit."""
    if process.stdout is None:
        raise ReaderFailedError("the reader has no standard output")
    deadline = time.monotonic() + limits.wall_seconds
    descriptor = process.stdout.fileno()
    pending, total = b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            check()
            if time.monotonic() > deadline:
                raise ReaderTimeoutError(f"the document was not read within {limits.wall_seconds:g} seconds")
            if not selector.select(_LOOK_SECONDS):
                continue
            received = os.read(descriptor, _LINE_BYTES)
            if not received:
                return
            total += len(received)
            *lines, pending = (pending + received).split(b"\n")
            # A reader that a document has taken over may say anything: believe no more than the protocol allows.
            if total > _MESSAGES_BYTES or len(pending) > _LINE_BYTES:
                raise UnreadableDocumentError("broken", "The PDF made its reader misbehave.")
            for line in lines:
                try:
                    yield _MESSAGE.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise UnreadableDocumentError("broken", "The PDF made its reader misbehave.") from error


def _death(process: subprocess.Popen[bytes], errors: IO[bytes], limits: Limits, *, ready: bool) -> Exception:
    """Return why a reader that said no last word has ended."""
    try:
        status = process.wait(timeout=_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return UnreadableDocumentError("broken", "The PDF made its reader misbehave.")
    said = last_words(errors, _ERROR_TAIL_BYTES)
    if not ready:
        return _failure(f"the reader ended with status {status} before it began", said)
    if status == -signal.SIGXCPU:
        return UnreadableDocumentError("too_slow", f"The PDF needs more than {limits.cpu_seconds} seconds to be read.")
    if status == -signal.SIGKILL:
        # Neither we nor its limits kill like this: the machine ran out of memory, or somebody did it.
        return ReaderFailedError("the reader was killed")
    if status < 0:
        # PDFium ends its process when it gets no memory, and nobody knows what else a hostile document makes it do.
        name = signal.Signals(-status).name
        needs = f"it is damaged or needs more than {limits.memory_bytes // 1024**2} MiB"
        return UnreadableDocumentError("crashed", f"The PDF crashes its reader ({name}): {needs}.")
    return _failure(f"the reader ended with status {status}", said)


def _failure(sentence: str, said: str) -> ReaderFailedError:
    error = ReaderFailedError(sentence)
    error.add_note(said)  # for the traceback; a message is for callers
    return error
