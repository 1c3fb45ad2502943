"""From lines to paragraphs."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from actors.documents.reading import text
from actors.documents.reading.running_heads import without_running_heads

LEADING = 15.0


def line(words: str, *, row: int, size: float = 11.0, left: float = 60.0, right: float = 530.0) -> text.Line:
    """Return a line that stands `row` lines below the top of a page."""
    top = 780.0 - row * LEADING
    return text.Line(words, size, bold=False, left=left, right=right, top=top, bottom=top - size)


def page(*rows: tuple[int, str], size: float = 11.0) -> list[text.Line]:
    """Return a page of full lines, each with the row on which it stands."""
    return [line(words, row=row, size=size) for row, words in rows]


def test_a_word_divided_at_the_end_of_a_line_is_joined() -> None:
    """A plain hyphen between letters disappears, and so does PDFium's mark of a divided word."""
    assert text.join(["the light-", "house stood"]) == "the lighthouse stood"
    assert text.join([f"the light{text.SOFT_HYPHEN}", "house stood"]) == "the lighthouse stood"


def test_a_hyphen_that_belongs_to_the_word_stays() -> None:
    """A word that the book writes with a hyphen elsewhere keeps it at the end of a line; so does a name."""
    # given
    hyphenated = text.hyphenated_words([page((0, "a well-known tower"))])

    # then
    assert text.join(["the well-", "known tower"], hyphenated=hyphenated) == "the well-known tower"
    assert text.join(["Sir Jean-", "Luc left"]) == "Sir Jean- Luc left"
    assert text.join(["1914-", "1918"]) == "1914- 1918"


def test_lines_become_paragraphs_at_gaps_sizes_and_bullets() -> None:
    """An empty line, another type size and a bullet each begin a paragraph; nothing else does."""
    # given
    lines = [line("Storms", row=0, size=20), *page((2, "It blew"), (3, "all night."), (5, "Then it"), (6, "stopped."))]
    lines += page((7, "• one"), (8, "• two"))

    # when
    paragraphs, headings = text.paragraphs(lines, body=11, hyphenated=frozenset())

    # then
    assert paragraphs == ["Storms", "It blew all night.", "Then it stopped.", "• one", "• two"]
    assert headings == [0]


def test_running_heads_and_page_numbers_go() -> None:
    """What repeats at the edges is no text: a title, a number that counts with the pages, both on one line."""
    # given
    pages = [
        page((0, "The Lamp"), (3, f"Text {word}"), (4, "goes on"), (8, f"page {number} of 9"))
        for number, word in enumerate(["one", "two", "three", "four"], start=7)
    ]

    # when
    kept = without_running_heads(pages, body=11)

    # then
    assert [[row.text for row in of_page] for of_page in kept] == [
        [f"Text {word}", "goes on"] for word in ["one", "two", "three", "four"]
    ]


def test_what_only_looks_like_a_running_head_stays() -> None:
    """Chapter headings that count up, first lines of the text that are alike, and lone lines are the book itself."""
    # given
    chapters = [[line(f"Chapter {n}", row=0, size=18), *page((3, "Text"), (4, "more"))] for n in range(1, 8)]
    alike = [page((0, "Once upon a time"), (1, f"there was {word}")) for word in ["a", "b", "c", "d", "e", "f"]]
    lone = [page((0, "Hello")) for _ in range(6)]

    # then
    for pages in (chapters, alike, lone):
        assert without_running_heads(pages, body=11) == pages


def test_a_page_of_nothing_but_head_and_foot_keeps_a_line() -> None:
    """A page with text stays a page with text, even if all of it repeats."""
    pages = [page((0, "The Lamp"), (40, f"{number}")) for number in range(5)]
    assert all(len(of_page) == 1 for of_page in without_running_heads(pages, body=11))


def test_nothing_invisible_survives() -> None:
    """NUL, line ends, bidirectional overrides and lone surrogates never get into a title or a paragraph."""
    assert text.clean("a\x00b\r\nc\u202ed\ud800e\u200b \x07 \uffff ﬁn") == "ab cde fin"


@given(st.text())
def test_cleaning_is_idempotent_and_leaves_one_line(raw: str) -> None:
    """Cleaned text is clean: encodable, printable but for spaces, on one line."""
    cleaned = text.clean(raw)
    assert text.clean(cleaned) == cleaned
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in cleaned)
    assert cleaned.encode().decode() == cleaned
    assert "  " not in cleaned


@given(st.text(), st.integers(min_value=8, max_value=60))
def test_a_cut_text_keeps_within_its_bytes(raw: str, most: int) -> None:
    """However long its characters are, a cut text fits, and one that fits is not cut."""
    cut = text.short(raw, max_bytes=most)
    assert len(cut.encode()) <= most
    whole = text.clean(raw.replace(text.SOFT_HYPHEN, ""))
    assert cut == whole or len(whole.encode()) > most


@given(st.lists(st.text(alphabet="abC- .\u00ad", max_size=8), max_size=6))
def test_joining_is_idempotent_and_loses_only_hyphens(lines: list[str]) -> None:
    """What has been joined stays as it is, and every letter of the lines is in it, in order."""
    joined = text.join(lines)
    assert text.join([joined]) == joined
    assert [c for c in joined if c.isalpha()] == [c for line in lines for c in line if c.isalpha()]


words = st.text(alphabet="abcdefgh .,-", min_size=1, max_size=30).filter(str.strip)
rows = st.builds(
    text.Line,
    words,
    st.sampled_from([8.0, 11.0, 11.5, 20.0]),
    st.booleans(),
    st.floats(0, 300),
    st.floats(300, 600),
    st.floats(0, 800),
    st.floats(0, 800),
)


@given(st.lists(rows, max_size=12))
def test_every_line_is_in_exactly_one_block(lines: list[text.Line]) -> None:
    """Grouping loses no line, adds none and keeps their order, whatever their places."""
    assert [row for block in text.blocks(lines) for row in block] == lines


@given(st.lists(st.lists(rows, max_size=6), max_size=8))
def test_removing_running_heads_only_removes_from_the_edges(pages: list[list[text.Line]]) -> None:
    """What is left of a page is an unbroken part of it, and a page with text keeps some."""
    for before, after in zip(pages, without_running_heads(pages, body=11), strict=True):
        assert bool(after) == bool(before)
        assert any(before[start : start + len(after)] == after for start in range(len(before) + 1))
