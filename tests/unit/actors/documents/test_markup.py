"""The HTML of a book."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from actors.documents.reading.book import Book, Chapter, Page
from actors.documents.reading.markup import document
from actors.documents.reading.text import clean

VOID = {"meta"}
ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "nav", "ol", "li", "a", "main", "section"}
ALLOWED |= {"h1", "h2", "h3", "p"}


class Outline(HTMLParser):
    """Reads a document strictly: every element known, opened and closed in turn; keeps text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a known element."""
        assert tag in ALLOWED
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text with the name of its element."""
        if data.strip() and self.open[-1] != "style":
            self.texts.append((self.open[-1], data))

    def of(self, *tags: str) -> list[str]:
        """Return the texts of all elements named so, in order."""
        return [data for tag, data in self.texts if tag in tags]


def html(book: Book, *, language: str | None = None) -> str:
    """Return the whole document."""
    return "".join(part for _, part in document(book, language=language))


def test_chapters_become_sections_with_their_own_heading_once() -> None:
    """A chapter that begins in the middle of a page begins there, and its heading is not repeated as a paragraph."""
    # given
    pages = [
        Page(1, ["Preface"]),
        Page(2, ["Chapter 1", "First."], [0]),
        Page(3, ["Still first.", "Chapter 2", "A Part", "Second."], [1, 2]),
    ]
    book = Book("Lamps", pages, [Chapter("Chapter 1", 2), Chapter("Chapter 2", 3)])

    # when
    outline = Outline(html(book, language="en"))

    # then
    assert outline.of("h1", "h2", "h3", "p") == [
        *("Lamps", "Preface", "Chapter 1", "First.", "Still first.", "Chapter 2", "A Part", "Second.")
    ]
    assert outline.of("h2") == ["Chapter 1", "Chapter 2"]
    assert outline.of("h3") == ["A Part"]
    assert [value for tag, name, value in outline.attributes if (tag, name) == ("a", "href")] == [*("#chapter-1", "#chapter-2")]
    assert ("html", "lang", "en") in outline.attributes


def test_hostile_text_stays_text() -> None:
    """Markup in a title, a chapter or a paragraph is shown, not obeyed."""
    # given
    attack = "<script>alert(1)</script>\x00\"'><img src=http://x/ onerror=alert(1)>"
    book = Book(attack, [Page(1, [attack])], [Chapter("On " + attack, 1)], note=attack)

    # when
    source = html(book, language='en" onload="alert(1)')

    # then
    outline = Outline(source)
    assert outline.of("p") == [clean(attack), clean(attack)]
    assert "<script" not in source
    assert "\x00" not in source
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]


texts = st.text(max_size=30)
pages = st.lists(st.tuples(st.lists(texts, max_size=4), st.lists(st.integers(-1, 5), max_size=3)), max_size=5)
chapters = st.lists(st.builds(Chapter, texts, st.integers(-1, 7)), max_size=5)


@given(st.none() | texts, pages, chapters, st.none() | texts)
def test_any_book_becomes_a_well_formed_document(
    title: str | None, contents: list[tuple[list[str], list[int]]], marks: list[Chapter], note: str | None
) -> None:
    """Known elements only, balanced; every link has its target, nothing comes from elsewhere, no id twice."""
    # given
    book = Book(title, [Page(n, *content) for n, content in enumerate(contents, start=1)], marks, note=note)

    # when
    outline = Outline(html(book, language="de"))

    # then
    ids = [value for _, name, value in outline.attributes if name == "id"]
    links = [value or "" for _, name, value in outline.attributes if name in {"href", "src"}]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids if name and name.startswith("chapter-")} == set(links)
    assert {name for _, name, _ in outline.attributes} <= {
        *("lang", "charset", "http-equiv", "content", "name", "dir", "id", "href", "aria-label", "class")
    }


@given(pages)
def test_no_paragraph_is_lost(contents: list[tuple[list[str], list[int]]]) -> None:
    """Every paragraph that holds something visible is in the document, in order."""
    # given
    book = Book("Lamps", [Page(n, *content) for n, content in enumerate(contents, start=1)], [])

    # when
    shown = Outline(html(book)).of("p", "h3")

    # then
    assert shown == [clean(text) for content, _ in contents for text in content if clean(text)]
