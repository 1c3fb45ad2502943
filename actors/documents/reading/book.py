"""The words of a book that has been read, as they are written to `text.json` and to the worker."""

from typing import Literal

import msgspec

MAX_PAGES = 5_000
MAX_CHARACTERS = 20_000_000
MAX_CHAPTERS = 2_000
TITLE_BYTES = 500
CHAPTER_TITLE_BYTES = 160
# A job's result holds at most 64 KiB; what lists chapters stays well below, text.json has them all.
LISTED_CHAPTERS_BYTES = 40_000

ChaptersFrom = Literal["outline", "headings", "none"]


class UnreadableError(Exception):
    """A document that cannot be read, however often one tries.

    `code`: the stable reason, for example `encrypted`. `message`: a sentence for the person who uploaded it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Page(msgspec.Struct, omit_defaults=True):
    """One page: its number (1 is the first), its paragraphs, and which of them (by index) are headings."""

    page: int
    paragraphs: list[str] = []
    headings: list[int] = []

    @property
    def text(self) -> str:
        """The page's paragraphs with an empty line between two of them."""
        return "\n\n".join(self.paragraphs)


class Chapter(msgspec.Struct, frozen=True):
    """One chapter: its title and the page (1 is the first) on which it begins."""

    title: str
    page: int


class Book(msgspec.Struct):
    """A whole book, `text.json`: pages in order, chapters by page, and a note on what is amiss with it."""

    title: str | None
    pages: list[Page]
    chapters: list[Chapter]
    chapters_from: ChaptersFrom = "none"
    note: str | None = None

    @property
    def words(self) -> int:
        """The number of words."""
        return sum(len(paragraph.split()) for page in self.pages for paragraph in page.paragraphs)

    @property
    def characters(self) -> int:
        """The number of characters, spaces included."""
        return sum(len(paragraph) for page in self.pages for paragraph in page.paragraphs)


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the document says about itself; None where it says nothing."""

    title: str | None = None
    author: str | None = None
    subject: str | None = None
    keywords: str | None = None
    creator: str | None = None
    producer: str | None = None
    created_at: str | None = None
    modified_at: str | None = None


class Inspected(msgspec.Struct, frozen=True):
    """What `inspect` found: the number of pages and the metadata."""

    pages: int
    metadata: Metadata


class Extracted(msgspec.Struct, frozen=True):
    """What `extract` found; `chapters` is cut to what a result may hold, `chapter_count` is not."""

    pages: int
    characters: int
    words: int
    pages_without_text: int
    chapters: list[Chapter]
    chapter_count: int
    chapters_from: ChaptersFrom
    note: str | None


class LanguageShare(msgspec.Struct, frozen=True):
    """A language (ISO 639 code) and its share of the book's characters, 0 to 1."""

    code: str
    share: float


class Described(msgspec.Struct, frozen=True):
    """What `describe` found: the main language and all with 5 % or more, key phrases (best first), and counts."""

    language: str | None
    languages: list[LanguageShare]
    key_phrases: list[str]
    pages: int
    words: int
    characters: int
    paragraphs: int
    reading_minutes: int


class Converted(msgspec.Struct, frozen=True):
    """What `convert` made: the size of the HTML and the number of chapters in it."""

    bytes: int
    chapters: int


# What the reader says on its standard output, one JSON object a line.


class Ready(msgspec.Struct, frozen=True, tag="ready", tag_field="kind"):
    """The limits are set and the libraries loaded: from here on a failure is the document's."""


class PageRead(msgspec.Struct, frozen=True, tag="page", tag_field="kind"):
    """Page `page` of `of` is done."""

    page: int
    of: int


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="kind"):
    """The work is done: its result, and what it took (peak memory in bytes, processor time in seconds)."""

    result: msgspec.Raw
    memory_bytes: int
    cpu_seconds: float


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="kind"):
    """The document cannot be read; see UnreadableError."""

    code: str
    message: str


Message = Ready | PageRead | Done | Refused
