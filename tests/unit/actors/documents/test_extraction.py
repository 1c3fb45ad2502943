"""Reading real PDFs."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.documents.reading import chapters, pages
from actors.documents.reading.book import LISTED_CHAPTERS_BYTES, Book, Chapter, Extracted, Inspected, UnreadableError
from actors.documents.reading.extraction import extract
from actors.documents.reading.inspection import inspect
from tests import factories_pdf


def read(source: bytes, *, title: str | None = None) -> tuple[Extracted, Book, list[tuple[int, int]]]:
    """Return what extract says, what it writes and the progress it reports."""
    progress: list[tuple[int, int]] = []
    result, output = extract(source, title, lambda page, of: progress.append((page, of)))
    assert isinstance(result, Extracted)
    return result, msgspec.json.decode(output, type=Book), progress


def test_chapters_come_from_the_outline() -> None:
    """An outline's chapters have their titles and pages, even if no heading shows them."""
    result, book, progress = read(factories_pdf.book(chapters=3, pages_each=2, headings=False))

    assert result.chapters == [Chapter("Chapter 1", 1), Chapter("Chapter 2", 3), Chapter("Chapter 3", 5)]
    assert result.chapters_from == "outline"
    assert book.title == "The Lamp at the Reef"
    assert progress == [(page, 6) for page in range(1, 7)]


@pytest.mark.parametrize("source", [factories_pdf.book(chapters=3, pages_each=2, outline=False)])
def test_without_an_outline_chapters_come_from_headings(source: bytes) -> None:
    """The same chapters are found by the size of the type."""
    result, _, _ = read(source)

    assert result.chapters == [Chapter("Chapter 1", 1), Chapter("Chapter 2", 3), Chapter("Chapter 3", 5)]
    assert result.chapters_from == "headings"


def test_the_title_on_the_cover_is_no_chapter() -> None:
    """The largest type is used once, for the title; chapters are what comes next, parts of chapters are not."""
    # given
    document = factories_pdf.pdf()
    document.add_page()
    factories_pdf.heading(document, "Storms of the North", size=30)
    for name in ("Wind", "Water"):
        document.add_page()
        factories_pdf.heading(document, name, size=20)
        factories_pdf.prose(document, " ".join(factories_pdf.SENTENCES))
        factories_pdf.heading(document, f"More on {name}", size=14)
        factories_pdf.prose(document, " ".join(factories_pdf.SENTENCES))

    # when
    result, book, _ = read(factories_pdf.finished(document))

    # then
    assert result.chapters == [Chapter("Wind", 2), Chapter("Water", 3)]
    assert book.title == "Storms of the North"
    assert book.pages[1].headings == [0, 2]


def test_the_text_of_a_page_is_its_paragraphs() -> None:
    """Lines are joined, paragraphs kept apart, page numbers left out, and the counts are those of the text."""
    result, book, _ = read(factories_pdf.long_book(pages=20))

    assert book.pages[0].paragraphs[0] == "Chapter 1"
    assert book.pages[3].paragraphs[0].startswith(factories_pdf.SENTENCES[3])
    assert not any(paragraph.strip().isdigit() for page in book.pages for paragraph in page.paragraphs)
    assert result.words == len(" ".join(page.text for page in book.pages).split())
    assert [chapter.page for chapter in result.chapters] == [1, 11]


def test_the_uploaders_title_goes_before_the_documents() -> None:
    """Who uploads a book knows best what it is called."""
    assert read(factories_pdf.book(), title="My\r\nLamp")[1].title == "My Lamp"


def test_a_scanned_book_is_no_error_but_says_so() -> None:
    """Pages without any text complete with a note that tells why there is nothing to read."""
    result, book, _ = read(factories_pdf.without_text())

    assert (result.pages, result.characters, result.chapters) == (3, 0, [])
    assert "scanned" in (result.note or "")
    assert book.note == result.note


def test_hostile_text_comes_out_clean() -> None:
    """Control characters and line ends in text and metadata are gone; markup is left for the HTML to escape."""
    source = factories_pdf.with_text("<script>alert(1)</script> & more", title="A\x00 title\r\nSet-Cookie: x")
    result, book, _ = read(source)

    assert book.title == "A title Set-Cookie: x"
    assert book.pages[0].paragraphs == ["<script>alert(1)</script> & more"]
    assert result.pages == 1


def test_inspecting_reads_metadata_and_counts_pages() -> None:
    """Metadata is cleaned, its dates are in RFC 3339, and every page is reported."""
    # given
    progress: list[tuple[int, int]] = []

    # when
    result, output = inspect(factories_pdf.book(chapters=2), None, lambda page, of: progress.append((page, of)))

    # then
    assert isinstance(result, Inspected)
    assert (result.pages, result.metadata.title, result.metadata.author) == (2, "The Lamp at the Reef", "A. Keeper")
    assert result.metadata.created_at is not None
    assert result.metadata.created_at.endswith("+00:00")
    assert output == b""
    assert progress == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("D:20260131120500+01'30'", "2026-01-31T12:05:00+01:30"),
        ("D:20260131120500-05'00", "2026-01-31T12:05:00-05:00"),
        ("D:20260131120500Z", "2026-01-31T12:05:00+00:00"),
        ("D:2026", "2026-01-01T00:00:00+00:00"),
        ("D:20261331120500Z", None),
        ("D:20260131120500+99'99'", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_pdf_dates(written: str, instant: str | None) -> None:
    """A date is read with its zone, in UTC without one; nonsense is no date."""
    assert pages.instant(written) == instant


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"", "empty"),
        (b"<!doctype html><html><body>not a book</body></html>", "not_a_pdf"),
        (b"%PDF-1.7\n", "broken"),
        (factories_pdf.truncated(), "broken"),
        (factories_pdf.encrypted(), "encrypted"),
        (factories_pdf.no_pages(), "empty"),
        (factories_pdf.deep_page_tree(depth=2_000), "broken"),
    ],
)
def test_what_cannot_be_read_says_why(source: bytes, code: str) -> None:
    """Each way of being unreadable has its code and a sentence for a person, at the first look already."""
    for command in (inspect, extract):
        with pytest.raises(UnreadableError) as refused:
            command(source, None, lambda _page, _of: None)
        assert refused.value.code == code
        assert refused.value.message.endswith(".")


def test_a_book_with_only_an_owners_password_is_read() -> None:
    """Without a password to open it, a document may be read; what else its owner forbids is no matter here."""
    assert read(factories_pdf.encrypted(user_password=None))[1].pages[0].paragraphs == [factories_pdf.SENTENCES[0]]


def test_an_outline_in_a_circle_ends() -> None:
    """An outline whose entries follow each other in a circle gives each entry at most once."""
    assert len(read(factories_pdf.outline_loop())[0].chapters) <= 2


def test_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A book over the limit is refused with both numbers before a page is read."""
    monkeypatch.setattr(pages, "MAX_PAGES", 20)
    with pytest.raises(UnreadableError, match=r"21 pages; the most that is read is 20") as refused:
        read(factories_pdf.long_book(pages=21))
    assert refused.value.code == "too_many_pages"


def test_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The characters of all pages together have a limit."""
    monkeypatch.setattr(pages, "MAX_CHARACTERS", 5_000)
    with pytest.raises(UnreadableError) as refused:
        read(factories_pdf.long_book(pages=3))
    assert refused.value.code == "too_large"


@given(st.lists(st.text(max_size=160), max_size=600))
def test_listed_chapters_fit_a_result(titles: list[str]) -> None:
    """However long and strange the titles, what a result lists is the beginning of all and stays within its bytes."""
    found = [Chapter(title, page) for page, title in enumerate(titles, start=1)]
    listed = chapters.listed(found)
    assert listed == found[: len(listed)]
    assert len(msgspec.json.encode(listed)) <= LISTED_CHAPTERS_BYTES + 2


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from([9, 11, 14, 18, 24]), st.text("abcdef GHI.", min_size=1, max_size=40)),
        min_size=1,
        max_size=12,
    )
)
def test_chapters_are_sorted_and_within_the_book(parts: list[tuple[int, str]]) -> None:
    """Whatever sizes a book mixes, its chapters are in order, on its pages, and titled."""
    # given
    document = factories_pdf.pdf()
    for number, (size, words) in enumerate(parts):
        if number % 3 == 0:
            document.add_page()
        factories_pdf.heading(document, words, size=size)

    # when
    result, book, _ = read(factories_pdf.finished(document))

    # then
    starts = [chapter.page for chapter in result.chapters]
    assert starts == sorted(starts)
    assert all(1 <= start <= len(book.pages) for start in starts)
    assert all(chapter.title for chapter in result.chapters)
