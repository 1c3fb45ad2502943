"""Heads, feet and page numbers: what repeats from page to page and is no part of the text."""

import re
from collections import Counter
from collections.abc import Sequence

from actors.documents.reading.text import CHAPTER_WORDS, HEADING_RATIO, SAME_SIZE, Line

_NUMBER = re.compile(r"\d{1,5}")
_PAGE_WORDS = re.compile(r"(?:page|seite|página|pagina|p|s|of|von|de|di|sur|[^\w\s]|\s)*")
_LONGEST_PAGE_NUMBER = 40
_EDGES = (0, -1)  # the first line of a page and its last
_REPEATS = 3
_SHARE = 0.2
# The head of one chapter repeats on that chapter's pages only: rarer in the book, yet the very same words.
_CERTAIN_REPEATS = 6
# Begins the key of a line with a page number: that it counts with the pages is proof enough.
_NUMBERED = "\x00"


def without_running_heads(pages: Sequence[Sequence[Line]], *, body: float) -> list[list[Line]]:
    """Return the pages without the heads and feet that repeat from page to page, and without page numbers.

    A line goes only if it stands first or last on its page, apart from the text and in no larger type than the text; a
    page never loses its only line. `body`: the text's font size in points.
    """
    remaining = [list(page) for page in pages]
    enough = min(max(_REPEATS, _SHARE * len(remaining)), _CERTAIN_REPEATS)
    for _ in range(2):  # a head may have two lines, for example a title and a rule of dashes
        keys = [tuple(_key(page, edge, number, body) for edge in _EDGES) for number, page in enumerate(remaining)]
        repeats = [Counter(at_edge) for at_edge in zip(*keys, strict=True)]
        for page, page_keys in zip(remaining, keys, strict=True):
            for edge, key, seen in zip(_EDGES, page_keys, repeats, strict=True):
                repeats_enough = seen[key] >= (_REPEATS if key.startswith(_NUMBERED) else enough)
                if key and repeats_enough and len(page) > 1:
                    del page[edge]
    return remaining


def _key(page: Sequence[Line], edge: int, number: int, body: float) -> str:
    """Return what is the same on every page for a running line; empty for a line that cannot be one."""
    if len(page) < len(_EDGES):
        return ""
    line, neighbour = (page[0], page[1]) if edge == 0 else (page[-1], page[-2])
    upper, lower = (line, neighbour) if edge == 0 else (neighbour, line)
    apart = upper.bottom - lower.top > 0.6 * max(line.size, neighbour.size)
    if line.size >= body * HEADING_RATIO or not (apart or abs(line.size - neighbour.size) > SAME_SIZE * body):
        return ""
    return _unchanging(line.text.casefold().strip(), number)


def _unchanging(text: str, number: int) -> str:
    """Return the line as it would be on the first page; `number`: how many pages after that it stands."""
    numbers = _NUMBER.findall(text)
    if not numbers:
        return text
    # A page number walks with the pages, whatever it began with: what it is ahead of them stays the same.
    words = _NUMBER.sub("#", text)
    if len(text) <= _LONGEST_PAGE_NUMBER and _PAGE_WORDS.fullmatch(words.replace("#", " ")):
        return f"{_NUMBERED}{int(numbers[0]) - number}"
    of_chapter = bool(CHAPTER_WORDS.match(text))
    if words.endswith("#") and not (of_chapter and len(numbers) == 1):
        return f"{_NUMBERED}{int(numbers[-1]) - number}{words}"
    if words.startswith("#") and not of_chapter:
        return f"{_NUMBERED}{int(numbers[0]) - number}{words}"
    return text
