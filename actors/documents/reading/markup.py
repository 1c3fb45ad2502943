"""A book as one HTML document: no scripts, nothing loaded from elsewhere, every character of the PDF escaped."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from actors.documents.reading.book import Book, Chapter, Page
from actors.documents.reading.text import clean

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# Pages that read such a document allow this one style, by its hash.
STYLE = (
    ":root{color-scheme:light dark}body{max-width:42rem;margin:2rem auto;padding:0 1rem;font:1.05rem/1.6 Georgia,serif}"
    "h1,h2,h3{line-height:1.25}nav ol{padding-inline-start:1.5rem}.note{font-style:italic}"
    "section+section{margin-block-start:3rem}p,h1,h2,h3,li{overflow-wrap:anywhere}"
)


class _Paragraph(NamedTuple):
    page: int
    text: str
    heading: bool


def document(book: Book, *, language: str | None) -> Iterator[tuple[int, str]]:
    """Yield the HTML document in parts, each with the number of the page that it belongs to (0 for what has none).

    `language`: ISO 639 code for the `lang` attribute.
    """
    title = _text(book.title or "Untitled")
    lang = f' lang="{escape(language)}"' if language else ""
    sections = list(_sections(book))
    yield (
        0,
        (
            f'<!doctype html>\n<html{lang}>\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
            f'<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1 dir="auto">{title}</h1>\n</header>\n'
        ),
    )
    if book.note:
        yield 0, f'<p class="note">{_text(book.note)}</p>\n'
    yield 0, _contents([chapter for chapter, _ in sections if chapter is not None])
    yield 0, "<main>\n"
    number = seen = 0
    for chapter, paragraphs in sections:
        if chapter is None:
            yield 0, "<section>\n"
        else:
            number += 1
            yield chapter.page, f'<section id="chapter-{number}">\n<h2 dir="auto">{_text(chapter.title)}</h2>\n'
        for paragraph in paragraphs:
            yield paragraph.page, _paragraph(paragraph, first_of_page=paragraph.page > seen)
            seen = max(seen, paragraph.page)
        yield 0, "</section>\n"
    yield 0, "</main>\n</body>\n</html>\n"


def _text(raw: str) -> str:
    return escape(clean(raw))


def _contents(chapters: Sequence[Chapter]) -> str:
    if not chapters:
        return ""
    items = "".join(
        f'<li dir="auto"><a href="#chapter-{number}">{_text(chapter.title)}</a></li>\n'
        for number, chapter in enumerate(chapters, start=1)
    )
    return f'<nav aria-label="Contents">\n<ol>\n{items}</ol>\n</nav>\n'


def _paragraph(paragraph: _Paragraph, *, first_of_page: bool) -> str:
    name = f' id="page-{paragraph.page}"' if first_of_page else ""
    tag = "h3" if paragraph.heading else "p"
    return f'<{tag}{name} dir="auto">{_text(paragraph.text)}</{tag}>\n'


def _sections(book: Book) -> Iterator[tuple[Chapter | None, list[_Paragraph]]]:
    """Yield what precedes the first chapter, if anything, then each chapter with its paragraphs less its heading."""
    begins: dict[int, list[Chapter]] = {}
    for chapter in book.chapters:
        begins.setdefault(chapter.page, []).append(chapter)
    current: Chapter | None = None
    collected: list[_Paragraph] = []
    for page in book.pages:
        starting = begins.get(page.page, [])
        places = _places(page, starting)
        paragraphs = _paragraphs(page)
        for index in range(len(paragraphs) + 1):
            for chapter, place in zip(starting, places, strict=True):
                if place == index:
                    if current is not None or collected:
                        yield current, collected
                    current, collected = chapter, []
            if index == len(paragraphs):
                break
            repeats_title = current is not None and not collected and current in starting
            if not (repeats_title and current is not None and _same(paragraphs[index].text, current.title)):
                collected.append(paragraphs[index])
    if current is not None or collected:
        yield current, collected


def _paragraphs(page: Page) -> list[_Paragraph]:
    headings = set(page.headings)
    return [_Paragraph(page.page, text, n in headings) for n, text in enumerate(page.paragraphs)]


def _places(page: Page, chapters: Sequence[Chapter]) -> list[int]:
    """Return, for each chapter that begins on the page, the index of the paragraph before which it begins."""
    places: list[int] = []
    start = 0
    for chapter in chapters:
        found = next((n for n in range(start, len(page.paragraphs)) if _same(page.paragraphs[n], chapter.title)), start)
        places.append(found)
        start = found
    return places


def _same(paragraph: str, title: str) -> bool:
    def letters(text: str) -> str:
        return "".join(filter(str.isalnum, text.casefold()))

    if title.endswith("…"):  # it was cut
        return letters(paragraph).startswith(letters(title))
    return letters(paragraph) == letters(title)
