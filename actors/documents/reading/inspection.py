"""`inspect`: can the document be opened, how many pages has it, and what does it say about itself."""

from actors.documents.reading import pages
from actors.documents.reading.book import Inspected, UnreadableError
from actors.documents.reading.command import Command, Outcome, Progress


def prepare() -> Command:
    """Return the command; PDFium is loaded with this module."""
    return inspect


def inspect(source: bytes, title: str | None, progress: Progress) -> Outcome:
    """Look for every page without reading what is on it."""
    del title
    document = pages.open_document(source)
    count = len(document)
    missing = 0
    for number in range(1, count + 1):
        missing += not pages.page_exists(document, number)
        progress(number, count)
    if missing == count:
        raise UnreadableError("broken", "The PDF is damaged: none of its pages can be found.")
    return Outcome(Inspected(count, pages.metadata(document)))
