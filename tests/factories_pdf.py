"""Builders of PDFs for tests: real ones by fpdf2, hostile ones by hand."""

import zlib
from collections.abc import Sequence
from typing import Any

from fpdf import FPDF
from fpdf.enums import AccessPermission

BODY_SIZE = 11
HEADING_SIZE = 20
_CHAPTER_PAGES = 10
SENTENCES = (
    "The lighthouse keeper wrote down the weather every evening before he lit the great lamp.",
    "Ships that passed the northern reef at night trusted the lamp more than their charts.",
    "In winter the supply boat came rarely, and the keeper learned to mend whatever broke.",
    "Nobody on the mainland knew how many storms the old tower had already survived.",
)
GERMAN = (
    "Der Leuchtturmwärter schrieb jeden Abend das Wetter auf, bevor er die große Lampe anzündete.",
    "Schiffe, die nachts am nördlichen Riff vorbeifuhren, vertrauten der Lampe mehr als ihren Karten.",
    "Im Winter kam das Versorgungsboot selten, und der Wärter lernte, alles selbst zu reparieren.",
)


def pdf(**settings: str) -> FPDF:
    """Return an empty document; `settings`: title, author, subject, keywords, creator or producer."""
    document = FPDF(format="A4")
    for name, value in settings.items():
        getattr(document, f"set_{name}")(value)
    return document


def heading(document: FPDF, text: str, *, size: float = HEADING_SIZE) -> None:
    """Write a heading on a line of its own."""
    document.set_font("Helvetica", style="B", size=size)
    document.cell(0, size * 0.6, text, new_x="LMARGIN", new_y="NEXT")


def prose(document: FPDF, text: str) -> None:
    """Write a paragraph, broken into lines, and some space after it."""
    document.set_font("Helvetica", size=BODY_SIZE)
    document.multi_cell(0, 6, text, new_x="LMARGIN", new_y="NEXT")
    document.ln(4)


def finished(document: FPDF) -> bytes:
    """Return the document's bytes."""
    return bytes(document.output())


def book(
    *,
    chapters: int = 3,
    pages_each: int = 1,
    outline: bool = True,
    headings: bool = True,
    sentences: Sequence[str] = SENTENCES,
) -> bytes:
    """Return a book whose chapters are named Chapter 1, Chapter 2, …, each `pages_each` full pages long."""
    document = pdf(title="The Lamp at the Reef", author="A. Keeper")
    for chapter in range(1, chapters + 1):
        for page in range(pages_each):
            document.add_page()
            if page == 0 and outline:
                document.start_section(f"Chapter {chapter}")
            if page == 0 and headings:
                heading(document, f"Chapter {chapter}")
            for turn in range(6):
                prose(document, " ".join(sentences[(turn + step) % len(sentences)] for step in range(4)))
    return finished(document)


def long_book(*, pages: int, outline: bool = False) -> bytes:
    """Return a book of `pages` full pages in chapters of ten, made in milliseconds and read in seconds.

    `outline`: with an outline; without one its chapters show only in the type.
    """
    first = 5  # after catalogue, page tree and two fonts: for each page its object, then its contents
    kids = [first + 2 * number for number in range(pages)]
    objects = [b"", b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), pages)]
    objects += [b"<< /Type /Font /Subtype /Type1 /BaseFont /%s >>" % name for name in (b"Helvetica", b"Helvetica-Bold")]
    for number in range(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F 3 0 R /B 4 0 R >> >> >>" % (kids[number] + 1)
        )
        objects.append(stream(_page_of_long_book(number)))
    starts = range(0, pages, _CHAPTER_PAGES) if outline else range(0)
    root = first + 2 * pages
    for index, start in enumerate(starts):
        following = b"/Next %d 0 R" % (root + index + 2) if index + 1 < len(starts) else b""
        title = b"(Chapter %d)" % (index + 1)
        objects.append(b"<< /Title %s /Parent %d 0 R %s /Dest [%d 0 R /Fit] >>" % (title, root, following, kids[start]))
    if starts:
        entries = b"/First %d 0 R /Last %d 0 R /Count %d" % (root + 1, root + len(starts), len(starts))
        objects.insert(root - 1, b"<< /Type /Outlines %s >>" % entries)
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R %s >>" % (b"/Outlines %d 0 R" % root if starts else b"")
    return by_hand(objects)


def _page_of_long_book(number: int) -> bytes:
    lines = []
    if number % _CHAPTER_PAGES == 0:
        lines.append(b"BT /B 20 Tf 60 780 Td (Chapter %d) Tj ET" % (number // _CHAPTER_PAGES + 1))
    for row in range(44):
        sentence = SENTENCES[(number + row) % len(SENTENCES)].encode("latin-1")
        lines.append(b"BT /F 11 Tf 60 %d Td (%s) Tj ET" % (740 - row * 15, sentence))
    return b"\n".join([*lines, b"BT /F 11 Tf 290 30 Td (%d) Tj ET" % (number + 1)])


def encrypted(*, user_password: str | None = "open sesame", owner_password: str = "owner") -> bytes:
    """Return a book that needs `user_password` to be opened, or none if that is None."""
    document = pdf()
    document.set_encryption(owner_password, user_password, permissions=AccessPermission.none())
    document.add_page()
    prose(document, SENTENCES[0])
    return finished(document)


def without_text() -> bytes:
    """Return three pages with a drawing and no text, as a scanned book has."""
    document = pdf()
    for _ in range(3):
        document.add_page()
        document.rect(20, 20, 100, 150, style="F")
    return finished(document)


def with_text(*paragraphs: str, **settings: str) -> bytes:
    """Return one page with these paragraphs in Latin-1."""
    document = pdf(**settings)
    document.add_page()
    for paragraph in paragraphs:
        prose(document, paragraph)
    return finished(document)


def by_hand(objects: Sequence[bytes], *, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """Return a PDF of these objects, numbered from 1, with a correct cross-reference table."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(content: bytes, *filters: bytes) -> bytes:
    """Return a stream object of `content`, which is already encoded by `filters`."""
    names = b"/Filter [%s]" % b" ".join(b"/" + name for name in filters) if filters else b""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), names, content)


def one_page(contents: bytes, *further: bytes, kids: bytes = b"[3 0 R]", count: int = 1) -> bytes:
    """Return a PDF by hand with one page, whose contents are the stream object `contents` (object 4)."""
    resources = b"/Resources << /Font << /F 5 0 R >> >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R %s >>" % resources
    return by_hand(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids %s /Count %d >>" % (kids, count),
            page,
            contents,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *further,
        ]
    )


def decompression_bomb(*, megabytes: int = 4_000, layers: int = 2) -> bytes:
    """Return a small PDF whose page's contents inflate, layer by layer, to `megabytes` of text operators."""
    packed = deflated(b"BT /F 12 Tf (bomb) Tj ET\n" * 40_000, times=megabytes)
    for _ in range(layers - 1):
        packed = zlib.compress(packed, 9)
    return one_page(stream(packed, *[b"FlateDecode"] * layers))


def endless_work(*, operators: int = 60_000_000) -> bytes:
    """Return a small PDF whose page takes much processor time and little memory: it saves and restores its state."""
    return one_page(stream(deflated(b"q Q " * 10_000, times=operators // 20_000), b"FlateDecode"))


def deflated(chunk: bytes, *, times: int) -> bytes:
    """Return `times` copies of `chunk` in zlib's format, made at the cost of one (the checksum at the end is wrong)."""
    packer = zlib.compressobj(9)
    head = packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (times - 1) + packer.flush()


def page_tree_loop() -> bytes:
    """Return a PDF whose page tree contains itself and claims two thousand million pages."""
    return one_page(stream(b"BT ET"), kids=b"[2 0 R 2 0 R]", count=2_000_000_000)


def deep_page_tree(*, depth: int = 50_000) -> bytes:
    """Return a PDF whose page tree has `depth` levels, with one page at the bottom."""
    levels: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    levels += [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 1) for number in range(2, depth + 2)]
    return by_hand([*levels, b"<< /Type /Page /MediaBox [0 0 595 842] >>"])


def deep_nesting(*, depth: int = 200_000) -> bytes:
    """Return a PDF whose catalogue holds an array in an array, `depth` levels deep."""
    catalogue = b"<< /Type /Catalog /Pages 2 0 R /X %s%s >>" % (b"[" * depth, b"]" * depth)
    return by_hand([catalogue, b"<< /Type /Pages /Kids [] /Count 0 >>"])


def form_bomb(*, depth: int = 12, width: int = 10) -> bytes:
    """Return a PDF whose page draws a form that draws a form …: `width` to the power of `depth` drawings."""
    forms = []
    for level in range(depth):
        number = 6 + level
        body = b"BT /F 9 Tf (x) Tj ET\n" if level == depth - 1 else b"/X Do\n" * width
        inner = b" /XObject << /X %d 0 R >>" % (number + 1) if level < depth - 1 else b""
        resources = b"/Font << /F 5 0 R >>" + inner
        head = b"/Type /XObject /Subtype /Form /BBox [0 0 600 900] /Resources << %s >>" % resources
        forms.append(b"<< %s /Length %d >>\nstream\n%s\nendstream" % (head, len(body), body))
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /XObject << /X 6 0 R >> /Font << /F 5 0 R >> >> >>"
    )
    return by_hand(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            page,
            stream(b"/X Do\n" * width),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *forms,
        ]
    )


def no_pages() -> bytes:
    """Return a well-formed PDF without a single page."""
    return by_hand([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"])


def truncated(source: bytes | None = None, *, keep: float = 0.4) -> bytes:
    """Return the first part of a PDF, as a broken upload leaves it."""
    whole = book() if source is None else source
    return whole[: int(len(whole) * keep)]


def outline_loop() -> bytes:
    """Return a PDF whose outline's entries follow each other in a circle."""
    return by_hand(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
            b"<< /Type /Outlines /First 5 0 R /Last 6 0 R /Count 2 >>",
            b"<< /Title (One) /Parent 4 0 R /Next 6 0 R /First 5 0 R /Dest [3 0 R /Fit] >>",
            b"<< /Title (Two) /Parent 4 0 R /Next 5 0 R /Dest [3 0 R /Fit] >>",
        ]
    )


def chapters_of(listed: Sequence[Any]) -> list[tuple[str, int]]:
    """Return chapters as pairs of title and page."""
    return [(chapter.title, chapter.page) for chapter in listed]
