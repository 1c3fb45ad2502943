"""The reader's process from its request to its last word."""

import errno
import json
import os
import resource
from typing import Any

import msgspec

from actors.documents import confinement
from actors.documents.reading import command
from actors.documents.reading.book import Done, PageRead, Ready, Refused, UnreadableError


def run(request: str) -> None:
    """Confine this process, do what `request` (a JSON object) asks and say how it went on standard output.

    `request`: `command`, `title`, `output` (the descriptor for what is made) and `limits`, see confinement.confine.
    Raises whatever goes wrong before `Ready`, and an OSError after it: then the reader is to blame, not the document.
    """
    asked = json.loads(request)
    confinement.confine(**asked["limits"])
    # Libraries that print must not be able to write messages.
    messages = os.dup(1)
    os.dup2(2, 1)
    perform = command.prepare(asked["command"])
    with open(0, "rb", closefd=False) as standard_input:
        source = standard_input.read()
    status = confinement.open_status()
    confinement.seal()
    _say(messages, Ready())
    _say(messages, _perform(perform, source, asked, messages, status))


def _perform(perform: command.Command, source: bytes, asked: dict[str, Any], messages: int, status: int | None) -> Done | Refused:
    def progress(page: int, of: int) -> None:
        _say(messages, PageRead(page, of))

    try:
        outcome = perform(source, asked["title"], progress)
        _write(asked["output"], outcome.output)
    except UnreadableError as error:
        return Refused(error.code, error.message)
    except MemoryError:
        return Refused("out_of_memory", "The PDF needs more memory than one document may use.")
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise  # a library that opens files only when it is used: ours to mend
        return Refused("too_large", "The text of the PDF is larger than what is kept.")
    except ImportError:
        raise  # likewise
    except Exception as error:  # noqa: BLE001 - the process's edge: after `Ready` whatever fails is the document's doing
        return Refused("broken", f"The PDF is damaged: reading it failed ({type(error).__name__}).")
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = round(used.ru_utime + used.ru_stime, 3)
    result = msgspec.Raw(msgspec.json.encode(outcome.result))
    return Done(result, confinement.peak_memory(status), cpu_seconds)


def _say(messages: int, message: msgspec.Struct) -> None:
    _write(messages, msgspec.json.encode(message) + b"\n")


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
