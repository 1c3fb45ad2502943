"""Opening a PDF and reading its pages with PDFium: lines with their type and place, metadata, outline."""

import codecs
import ctypes
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

from actors.documents.reading.book import (
    CHAPTER_TITLE_BYTES,
    MAX_CHAPTERS,
    MAX_CHARACTERS,
    MAX_PAGES,
    TITLE_BYTES,
    Chapter,
    Metadata,
    UnreadableError,
)
from actors.documents.reading.text import SOFT_HYPHEN, Line, clean, short

_HEADER_WITHIN = 1024
_OUTLINE_DEPTH = 15
# PDFium writes U+FFFE where a word was hyphenated at the end of a line, and says nothing more of that line's end.
_LINE_END = re.compile("\r\n|\r|\n|\ufffe|\x02")
_HYPHENS = ("\ufffe", "\x02")
_BOLD_NAME = re.compile(rb"bold|black|heavy|CMBX", re.IGNORECASE)
_BOLD_WEIGHT = 600
_DATE = re.compile(r"D?:?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?\s*(?:(Z)|([+-])(\d\d)'?(\d\d)?)?")


# PDFium speaks UTF-16; once the process is sealed no codec can be loaded any more.
codecs.lookup("utf-16-le")


def open_document(source: bytes) -> Any:
    """Return the opened document.

    Raises UnreadableError `not_a_pdf`, `encrypted`, `broken`, `empty` or `too_many_pages`.
    """
    if not source:
        raise UnreadableError("empty", "The file is empty.")
    if b"%PDF-" not in source[:_HEADER_WITHIN]:
        raise UnreadableError("not_a_pdf", "The file is not a PDF: it does not begin like one.")
    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        raise _refusal(source) from error
    if len(document) > MAX_PAGES:
        message = f"The PDF has {len(document):,} pages; the most that is read is {MAX_PAGES:,}."
        raise UnreadableError("too_many_pages", message)
    return document


def _refusal(source: bytes) -> UnreadableError:
    # Asked again: the library's error says "no pages" with the code of whatever failed before.
    handle = pdfium.FPDF_LoadMemDocument64(source, len(source), None)
    if handle:
        pdfium.FPDF_CloseDocument(handle)
        return UnreadableError("empty", "The PDF has no pages.")
    if pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
        return UnreadableError("encrypted", "The PDF is encrypted and needs a password: upload a copy without one.")
    return UnreadableError("broken", "The PDF is damaged: its structure cannot be read.")


def metadata(document: Any) -> Metadata:
    """Return what the document says about itself, cleaned and cut."""
    said = document.get_metadata_dict()

    def text(key: str) -> str | None:
        return short(said.get(key, ""), max_bytes=TITLE_BYTES) or None

    return Metadata(
        title=text("Title"),
        author=text("Author"),
        subject=text("Subject"),
        keywords=text("Keywords"),
        creator=text("Creator"),
        producer=text("Producer"),
        created_at=instant(said.get("CreationDate", "")),
        modified_at=instant(said.get("ModDate", "")),
    )


def instant(written: str) -> str | None:
    """Return a PDF date (`D:20260131120000+01'00'`) in RFC 3339, in UTC if it names no zone; None if it is no date."""
    match = _DATE.match(written)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups()[:6])
    sign, ahead_hours, ahead_minutes = match.group(8), int(match.group(9) or 0), int(match.group(10) or 0)
    try:
        ahead = timedelta(hours=ahead_hours, minutes=ahead_minutes) * (-1 if sign == "-" else 1)
        at = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=timezone(ahead))
    except ValueError:
        return None
    return at.isoformat()


def outline(document: Any) -> list[Chapter]:
    """Return the chapters of the outline, by page: its top level, or the one below a lone root (the book)."""
    marks: list[tuple[int, Chapter]] = []
    for mark in document.get_toc(max_depth=_OUTLINE_DEPTH):
        if len(marks) >= MAX_CHAPTERS:
            break
        target = mark.get_dest()
        page = target.get_index() if target is not None else None
        title = short(mark.get_title(), max_bytes=CHAPTER_TITLE_BYTES)
        if title:
            marks.append((mark.level, Chapter(title, (page if page is not None else -1) + 1)))
    for level in range(_OUTLINE_DEPTH):
        of_level = [chapter for depth, chapter in marks if depth == level]
        below = any(depth == level + 1 for depth, _ in marks)
        if len(of_level) > 1 or not below:
            usable = [chapter for chapter in of_level if 1 <= chapter.page <= len(document)]
            return sorted(usable, key=lambda chapter: chapter.page)
    return []


def page_exists(document: Any, number: int) -> bool:
    """Tell whether page `number` (1 is the first) can be found in the document, without reading what is on it."""
    size = pdfium.FS_SIZEF()
    return bool(pdfium.FPDF_GetPageSizeByIndexF(document, number - 1, size))


def lines_by_page(document: Any) -> Iterator[list[Line] | None]:
    """Yield each page's lines in reading order, or None for a page that cannot be read.

    Raises UnreadableError `too_large` when the book has too many characters.
    """
    characters = 0
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            yield None
            continue
        try:
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            page.close()
            yield None
            continue
        characters += text_page.count_chars()
        if characters > MAX_CHARACTERS:
            message = f"The PDF holds more than {MAX_CHARACTERS:,} characters, the most that is read."
            raise UnreadableError("too_large", message)
        lines = list(_lines(text_page))
        text_page.close()
        page.close()  # at once: PDFium keeps what a page has decoded until then
        yield lines


def _lines(text_page: Any) -> Iterator[Line]:
    count = text_page.count_chars()
    if count <= 0:
        return
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium.FPDFText_GetText(text_page, 0, count, buffer)
    # PDFium counts UTF-16 units: decoded one unit a character, a place in the string is PDFium's place in the page.
    units = bytes(buffer)[: max(written - 1, 0) * 2]
    text = "".join(map(chr, memoryview(units).cast("H")))
    start = 0
    for end in [*_LINE_END.finditer(text), None]:
        stop = end.start() if end is not None else len(text)
        raw = text[start:stop]
        if raw.strip():
            first = start + len(raw) - len(raw.lstrip())
            last = start + len(raw.rstrip()) - 1
            hyphen = SOFT_HYPHEN if end is not None and end.group() in _HYPHENS else ""
            words = clean(raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
            if words:
                yield _line(text_page, words + hyphen, first, last)
        start = end.end() if end is not None else stop


def _line(text_page: Any, text: str, first: int, last: int) -> Line:
    char = max(pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, first), 0)
    final = max(pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, last), char)
    begin, end, matrix = pdfium.FS_RECTF(), pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    pdfium.FPDFText_GetLooseCharBox(text_page, char, begin)
    pdfium.FPDFText_GetLooseCharBox(text_page, final, end)
    pdfium.FPDFText_GetMatrix(text_page, char, matrix)
    scale = (matrix.c**2 + matrix.d**2) ** 0.5
    size = pdfium.FPDFText_GetFontSize(text_page, char) * (scale or 1.0)
    name = ctypes.create_string_buffer(128)
    pdfium.FPDFText_GetFontInfo(text_page, char, name, len(name), None)
    weight = pdfium.FPDFText_GetFontWeight(text_page, char)
    bold = weight >= _BOLD_WEIGHT or _BOLD_NAME.search(name.value) is not None
    return Line(text, round(size, 2), bold, begin.left, end.right, begin.top, min(begin.bottom, end.bottom))
