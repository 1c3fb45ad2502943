"""From the lines of a page to clean paragraphs, hyphenated words joined again."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

# Ends a line whose last word was divided for sure (it stands for PDFium's U+FFFE); a plain one may belong to the word.
SOFT_HYPHEN = "\u00ad"

_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Controls, zero-width and bidirectional ones too (a title could read as something else), surrogates, noncharacters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ufdd0-\ufdef"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"\s+")
_BULLET = re.compile(r"^[•▪‣◦●■\u2013*\u2043]\s")
CHAPTER_WORDS = re.compile(
    r"^(?:(?:chapter|part|kapitel|teil|chapitre|partie|cap[ií]tulo|parte|capitolo|hoofdstuk|kapittel|rozdzia[łl]|глава|часть)"
    r"\s+(?:\d+|[ivxlc]+|one|two|three|four|five|six|seven|eight|nine|ten)\b|第\s*[\d一二三四五六七八九十百]+\s*[章部])",
    re.IGNORECASE,
)
HEADING_RATIO = 1.15
SAME_SIZE = 0.08
_SHORT_LINE = 80
_MAX_HEADING_LINES = 4
_MAX_HEADING = 160
_WORD_WITH_HYPHEN = re.compile(r"\b[^\W\d_]+-[^\W\d_]+\b")


class Line(NamedTuple):
    """One line of a page; lengths in points, y upwards from the foot of the page."""

    text: str
    size: float
    bold: bool
    left: float
    right: float
    top: float
    bottom: float


def clean(raw: str) -> str:
    """Return `raw` on one line, composed (NFC), without ligatures and without anything invisible."""
    return _SPACES.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", raw.translate(_LIGATURES)))).strip()


def short(raw: str, *, max_bytes: int) -> str:
    """Return `clean(raw)`, cut to at most `max_bytes` bytes of UTF-8."""
    text = clean(raw.replace(SOFT_HYPHEN, ""))
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - 3].decode(errors="ignore").rstrip() + "…"


def body_size(pages: Iterable[Sequence[Line]]) -> float:
    """Return the font size (points) in which most characters are set; 0 for a book without text."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return max(sizes, key=lambda size: (sizes[size], -size)) if sizes else 0.0


def hyphenated_words(pages: Iterable[Sequence[Line]]) -> frozenset[str]:
    """Return the words that the book writes with a hyphen within a line, in lower case."""
    lines = (line.text for page in pages for line in page if "-" in line.text)
    return frozenset(word.lower() for line in lines for word in _WORD_WITH_HYPHEN.findall(line))


def join(lines: Sequence[str], *, hyphenated: frozenset[str] = frozenset()) -> str:
    """Return the lines as one text, with words joined that a line's end had divided.

    `hyphenated`: words in lower case that keep their hyphen, see hyphenated_words.
    """
    text = ""
    for line in lines:
        if not text:
            text = line
        elif text.endswith(SOFT_HYPHEN) or (text[-1] == "-" and text[-2:-1].isalpha() and line[:1].islower()):
            head, tail = text[:-1], line
            first, second = re.search(r"[^\W\d_]*$", head), re.match(r"[^\W\d_]*", tail)
            word = f"{first.group() if first else ''}-{second.group() if second else ''}".lower()
            text = f"{head}-{tail}" if word in hyphenated else head + tail
        else:
            text = f"{text} {line}"
    return clean(text.replace(SOFT_HYPHEN, ""))


def paragraphs(lines: Sequence[Line], *, body: float, hyphenated: frozenset[str]) -> tuple[list[str], list[int]]:
    """Return a page's paragraphs and the indexes of those that are headings.

    `body`: see body_size. `hyphenated`: see hyphenated_words.
    """
    texts: list[str] = []
    headings: list[int] = []
    for block in blocks(lines):
        text = join([line.text for line in block], hyphenated=hyphenated)
        if not text:
            continue
        if is_heading(block, body=body):
            headings.append(len(texts))
        texts.append(text)
    return texts, headings


def is_heading(block: Sequence[Line], *, body: float) -> bool:
    """Tell whether a block is a heading: short, and larger than the text or opening with a chapter's word."""
    text = " ".join(line.text for line in block)
    if len(block) > _MAX_HEADING_LINES or len(text) > _MAX_HEADING or not any(map(str.isalpha, text)):
        return False
    if min(line.size for line in block) >= body * HEADING_RATIO:
        return True
    is_title = len(block) == 1 and len(text) <= _SHORT_LINE and not text.endswith((".", ",", ";"))
    return is_title and CHAPTER_WORDS.match(text) is not None


def blocks(lines: Sequence[Line]) -> list[list[Line]]:
    """Return a page's lines, grouped by paragraph."""
    steps = [above.bottom - below.bottom for above, below in pairwise(lines)]
    usual = sorted(step for step in steps if step > 0)
    # Most steps of a page lie within paragraphs, but on a page of one-line paragraphs none does: take a low one.
    leading = usual[len(usual) // 5] if usual else 0.0
    width = max((line.right for line in lines), default=0.0)
    grouped: list[list[Line]] = []
    for number, line in enumerate(lines):
        if number == 0 or _begins(line, lines[number - 1], steps[number - 1], leading, width):
            grouped.append([])
        grouped[-1].append(line)
    return grouped


def _begins(line: Line, above: Line, step: float, leading: float, width: float) -> bool:
    if abs(line.size - above.size) > SAME_SIZE * max(line.size, above.size) or _BULLET.match(line.text):
        return True
    ended = above.text.endswith((".", "!", "?", ":", "”", '"', "。"))
    if step < -line.size:  # the next column: a paragraph goes on unless its last sentence had ended
        return ended
    if step > 1.35 * leading or step > 2.2 * line.size:
        return True
    if line.bold != above.bold and (line.bold or len(above.text) < _SHORT_LINE):
        return True
    return ended and (line.left - above.left > 0.9 * line.size or above.right < 0.8 * width)
