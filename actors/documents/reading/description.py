"""`describe`: the book's languages, its key phrases and how long it is."""

from functools import partial
from typing import Any

from actors.documents.reading import language, phrases
from actors.documents.reading.book import Described, LanguageShare
from actors.documents.reading.command import Command, Outcome, Progress, decoded

_WORDS_A_MINUTE = 230
_OPENING_PAGES = 100


def prepare() -> Command:
    """Load the language model and return the command."""
    return partial(describe, language.load())


def describe(model: Any, source: bytes, title: str | None, progress: Progress) -> Outcome:
    """Tell the language of each page, and of the whole what it is about. `source`: what `extract` wrote."""
    del title
    book = decoded(source)
    found: list[tuple[str | None, int]] = []
    for number, page in enumerate(book.pages, start=1):
        found.append((language.of_text(model, page.text), len(page.text)))
        progress(number, len(book.pages))
    languages = language.shares(found)
    if languages:
        main: str | None = languages[0][0]
    else:  # pages of a few words each say nothing alone, but may do so together
        main = language.of_text(model, " ".join(page.text for page in book.pages[:_OPENING_PAGES]))
    described = Described(
        language=main,
        languages=[LanguageShare(code, round(share, 3)) for code, share in languages],
        key_phrases=phrases.key_phrases([page.text for page in book.pages], language=main),
        pages=len(book.pages),
        words=book.words,
        characters=book.characters,
        paragraphs=sum(len(page.paragraphs) for page in book.pages),
        reading_minutes=-(-book.words // _WORDS_A_MINUTE),
    )
    return Outcome(described)
