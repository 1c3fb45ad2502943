"""What a command of the reader is: from bytes to a small result and a file."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import msgspec

from actors.documents.reading.book import Book, UnreadableError

_MODULES = {"inspect": "inspection", "extract": "extraction", "describe": "description", "convert": "conversion"}

Progress = Callable[[int, int], None]
"""Called with the number of pages done and the number of pages."""


class Outcome(NamedTuple):
    """A command's small result and the file that it made."""

    result: msgspec.Struct
    output: bytes = b""


Command = Callable[[bytes, str | None, Progress], Outcome]
"""Takes the source's bytes, the title that the uploader gave, and where to report pages; raises UnreadableError."""


def prepare(name: str) -> Command:
    """Load what the command `name` needs, its libraries and models, and return it: from then on it opens no file."""
    command: Command = import_module(f"actors.documents.reading.{_MODULES[name]}").prepare()
    return command


def decoded(source: bytes) -> Book:
    """Return the book that `extract` wrote; raises UnreadableError `not_extracted` for anything else."""
    try:
        return msgspec.json.decode(source, type=Book)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = "The extracted text of the book is damaged: extract it again."
        raise UnreadableError("not_extracted", message) from error
