"""`extract`: the text of every page and where the chapters begin."""

from collections.abc import Sequence

import msgspec

from actors.documents.reading import chapters, pages, running_heads, text
from actors.documents.reading.book import TITLE_BYTES, Book, Extracted, Page, UnreadableError
from actors.documents.reading.command import Command, Outcome, Progress

_NO_TEXT = "No page holds text: the pages are probably scanned images, and Greenroom does not recognise text in images."


def prepare() -> Command:
    """Return the command; PDFium is loaded with this module."""
    return extract


def extract(source: bytes, title: str | None, progress: Progress) -> Outcome:
    """Read the whole book; `title` goes before the one that the document claims."""
    document = pages.open_document(source)
    count = len(document)
    lines: list[list[text.Line]] = []
    unread = 0
    for of_page in pages.lines_by_page(document):
        unread += of_page is None
        lines.append(of_page or [])
        progress(len(lines), count)
    if unread == count:
        raise UnreadableError("broken", "The PDF is damaged: none of its pages can be read.")
    book = _book(lines, unread=unread)
    marks = pages.outline(document)
    if marks:
        book.chapters, book.chapters_from = marks, "outline"
    given = text.short(title or "", max_bytes=TITLE_BYTES)
    book.title = given or pages.metadata(document).title or book.title
    return Outcome(_summary(book), msgspec.json.encode(book))


def _book(lines: Sequence[Sequence[text.Line]], *, unread: int) -> Book:
    body = text.body_size(lines)
    hyphenated = text.hyphenated_words(lines)
    lines = running_heads.without_running_heads(lines, body=body)
    found = chapters.from_headings(lines, body=body)
    read = []
    for number, of_page in enumerate(lines, start=1):
        paragraphs, headings = text.paragraphs(of_page, body=body, hyphenated=hyphenated)
        read.append(Page(number, paragraphs, headings))
    damaged = f"{unread} of {len(lines)} pages are damaged and were left out." if unread else None
    return Book(
        title=read[0].paragraphs[read[0].headings[0]] if read[0].headings else None,
        pages=read,
        chapters=found,
        chapters_from="headings" if found else "none",
        note=damaged if any(lines) else _NO_TEXT,
    )


def _summary(book: Book) -> Extracted:
    return Extracted(
        pages=len(book.pages),
        characters=book.characters,
        words=book.words,
        pages_without_text=sum(not page.paragraphs for page in book.pages),
        chapters=chapters.listed(book.chapters),
        chapter_count=len(book.chapters),
        chapters_from=book.chapters_from,
        note=book.note,
    )
