"""Where chapters begin: from the outline, else from what is set larger than the text."""

import json
from collections import Counter
from collections.abc import Sequence

from actors.documents.reading.book import CHAPTER_TITLE_BYTES, LISTED_CHAPTERS_BYTES, MAX_CHAPTERS, Chapter
from actors.documents.reading.text import CHAPTER_WORDS, Line, blocks, is_heading, join, short

_LARGER = 1.02


def from_headings(pages: Sequence[Sequence[Line]], *, body: float) -> list[Chapter]:
    """Return the chapters that the type of the headings tells, by page; empty if there are no headings.

    Headings that open with a chapter's word ("Chapter 3") decide if there are any; else those in the largest type that
    is used for at least two headings (a title stands alone). `body`: the text's font size in points.
    """
    found: list[tuple[float, Chapter]] = []
    named: list[Chapter] = []
    for number, page in enumerate(pages, start=1):
        for block in blocks(page):
            if not is_heading(block, body=body):
                continue
            title = short(join([line.text for line in block]), max_bytes=CHAPTER_TITLE_BYTES)
            if not title:
                continue
            chapter = Chapter(title, number)
            if CHAPTER_WORDS.match(title):
                named.append(chapter)
            found.append((round(block[0].size * 2) / 2, chapter))
    if len(named) > 1:
        return named[:MAX_CHAPTERS]
    larger = [(size, chapter) for size, chapter in found if size > body * _LARGER]
    uses = Counter(size for size, _ in larger)
    size_of_chapters = max((size for size, count in uses.items() if count > 1), default=None)
    return [chapter for size, chapter in larger or found if size_of_chapters in (None, size)][:MAX_CHAPTERS]


def listed(chapters: Sequence[Chapter]) -> list[Chapter]:
    """Return as many chapters, from the first, as a job's result may hold."""
    room = LISTED_CHAPTERS_BYTES
    kept: list[Chapter] = []
    for chapter in chapters:
        room -= len(json.dumps(chapter.title, ensure_ascii=False).encode()) + 24
        if room < 0:
            break
        kept.append(chapter)
    return kept
