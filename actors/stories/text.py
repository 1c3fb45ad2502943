"""A story as text: lines, sentences and sections with their places; what is added to it, and what is left out of sight.

Stories are as long as a tier allows and written by anybody: nothing here takes more than a walk or two along the text.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

CRITERIA = "Acceptance criteria"
QUESTIONS = "Open questions"
_HEADINGS = {"acceptance criteria": CRITERIA, "acceptance criterion": CRITERIA, "ac": CRITERIA, "open questions": QUESTIONS}
_LONGEST_HEADING = 60

_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=\w))+[.!?]*")
# As reviewers leave them, and no others: what else stands in brackets is the author's.
_BLANK = re.compile(r"\[(?:how|what|which|who|the situation|days)\b[^\]\n]{0,300}\]")
_BULLET = re.compile(r"[-*•+] |\d{1,3}[.)] ")
_QUANTITY = re.compile(
    r"\d\s*(?:%|percent|ms\b|s\b|sec|min|hours?\b|h\b|days?\b|weeks?\b|months?\b|years?\b|clicks?\b|steps?\b|users?\b|items?\b|"
    r"[kmg]i?b\b|bytes?\b|requests?\b|times\b|characters?\b|digits?\b|rows?\b|pages?\b|px\b|€|\$|points?\b|attempts?\b)",
    re.IGNORECASE,
)


class Line(NamedTuple):
    """A line and where it begins."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """Where it ends, its newline not counted."""
        return self.start + len(self.text)

    @property
    def bare(self) -> str:
        """What it says, without bullet and space around it."""
        text = self.text.strip()
        return text[match.end() :].lstrip() if (match := _BULLET.match(text)) else text

    @property
    def is_bullet(self) -> bool:
        """Whether it begins as an item of a list."""
        return _BULLET.match(self.text.strip()) is not None


class Sentences:
    """A text's sentences, found by place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans = [match.span() for match in _SENTENCE.finditer(text) if not match[0].isspace()]
        self._starts = [start for start, _ in self._spans]

    def around(self, place: int) -> tuple[int, int]:
        """Give the span of the sentence that a place is in."""
        number = bisect_right(self._starts, place) - 1
        return self._spans[number] if number >= 0 else (0, len(self._text))

    def first(self) -> tuple[int, int]:
        """Give the span of the first one."""
        return self._spans[0] if self._spans else (0, len(self._text))

    def is_quantified(self, place: int) -> bool:
        """Tell whether the sentence around a place names a quantity."""
        start, end = self.around(place)
        return _QUANTITY.search(self._text, start, end) is not None


def lines(story: str) -> list[Line]:
    """List a story's lines."""
    found, start = [], 0
    for text in story.split("\n"):
        found.append(Line(start, text))
        start += len(text) + 1
    return found


def heading(line: Line) -> str | None:
    """Tell which section a line begins: one of ours, "" for somebody else's, None for no heading."""
    if len(line.text) > _LONGEST_HEADING:
        return None
    text = line.text.strip()
    known = _HEADINGS.get(text.strip("#*: \t").casefold())
    if known is not None:
        return known
    return "" if text.startswith("#") and text.lstrip("#")[:1] in {" ", "\t"} else None


def section(story: str, name: str) -> list[Line]:
    """List the lines of all sections of a name, headings left out."""
    found, inside = [], False
    for line in lines(story):
        what = heading(line)
        if what is not None:
            inside = what == name
        elif inside:
            found.append(line)
    return found


def without(story: str, hidden: Iterable[Line]) -> str:
    """Put spaces in the place of lines, so that all else stays where it is."""
    parts, place = [], 0
    for line in sorted(set(hidden)):
        parts += [story[place : line.start], " " * len(line.text)]
        place = line.end
    return "".join([*parts, story[place:]])


def prose(story: str) -> str:
    """Hide what reviewers have written: open questions, for what they quote has been seen once, and blanks to be filled in."""
    return _BLANK.sub(lambda match: " " * len(match[0]), without(story, section(story, QUESTIONS)))


def with_lines(story: str, name: str, added: Iterable[str]) -> str:
    """Add items to a section, which is made at the end if there is none; what stands there already is not added again."""
    present = {line.bare for line in section(story, name)}
    items = [f"- {item}" for item in dict.fromkeys(added) if item not in present]
    if not items:
        return story
    block = "\n".join(items)
    last = _end_of(story, name)
    if last is None:
        return f"{story.rstrip()}\n\n{name}:\n{block}\n"
    return f"{story[:last]}\n{block}{story[last:]}"


def _end_of(story: str, name: str) -> int | None:
    """Find where a section's last line that says something ends; None if there is no such section."""
    end, inside = None, False
    for line in lines(story):
        what = heading(line)
        if what is not None:
            if inside and end is not None:
                return end
            inside = what == name
        if inside and line.text.strip():
            end = line.start + len(line.text.rstrip())
    return end
