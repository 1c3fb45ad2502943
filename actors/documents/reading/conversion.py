"""`convert`: the book as one HTML document."""

from functools import partial
from typing import Any

from actors.documents.reading import language, markup
from actors.documents.reading.book import Converted
from actors.documents.reading.command import Command, Outcome, Progress, decoded

_OPENING_PAGES = 20


def prepare() -> Command:
    """Load the language model, for the document's `lang`, and return the command."""
    return partial(convert, language.load())


def convert(model: Any, source: bytes, title: str | None, progress: Progress) -> Outcome:
    """Write the document page by page. `source`: what `extract` wrote."""
    del title
    book = decoded(source)
    opening = " ".join(page.text for page in book.pages[:_OPENING_PAGES])
    parts: list[str] = []
    done = 0
    for page, part in markup.document(book, language=language.of_text(model, opening)):
        parts.append(part)
        if page > done:
            done = page
            progress(done, len(book.pages))
    html = "".join(parts).encode()
    return Outcome(Converted(len(html), len(book.chapters)), html)
