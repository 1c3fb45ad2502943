"""The narrative of a story: who wants what, and what for, in whatever order and words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.stories.text import CRITERIA, QUESTIONS, heading, lines, section, without

# What a clause begins with. A role stands at the beginning of a line, a sentence or a clause.
_MARKERS = re.compile(
    r"""(?P<role>(?<=[\n.,;:!?\-*•|>])[ \t*]{0,8}\bas\s{1,8}
        (?=(?:an?|the|one\s{1,8}of)\b|(?!follows|always|this|his|its|is|was|has|does)[a-z]{1,40}s\b))
    |(?P<want>\b(?:I|we)(?:['\u2019]d|\s{1,8}(?:would|also|really|should|must|do)){0,2}\s{1,8}
        (?:want|need|wish|like|expect|can|could|am\s{1,8}able|are\s{1,8}able|be\s{1,8}able)
        (?:\s{1,8}to\s{1,8}be\s{1,8}able)?\b(?:[ \t*]{1,8}to\b)?)
    |(?P<benefit>\b(?:so\s{1,8}that|so(?=[ \t]{1,8}(?:I|we|they|it|he|she)\b)
        |in\s{1,8}order\s{1,8}(?:to|that))\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_END = re.compile(r"[.!?]+(?=\s|\Z)")
_BETWEEN = re.compile(r"[\s,;.:*\-\u2013\u2014]*")
_NO_ROLE = re.compile(r"as\s+an?\s+(?:result|consequence|rule|whole|reminder|default|fallback|last resort)\b", re.IGNORECASE)
_LEAD = re.compile(r"[ \t>]*(?:\*[ \t]+)?")
_STEPS = re.compile(r"\*{0,3}(?:given|scenario)\b", re.IGNORECASE)
_NEAR = 40
_TO = re.compile(r"(?:to|can|could|able)$", re.IGNORECASE)


class Part(NamedTuple):
    """What follows a marker, and where all of it stands."""

    marker: str
    text: str
    start: int
    end: int


@dataclass
class Narrative:
    """One story of a text; `is_whole` says that nothing else stands between its parts."""

    parts: dict[str, Part] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def start(self) -> int:
        """Where its first part begins."""
        return min(part.start for part in self.parts.values())

    @property
    def end(self) -> int:
        """Where its last part ends."""
        return max(part.end for part in self.parts.values())

    def text(self, name: str) -> str:
        """Give what a part says; nothing if there is none."""
        return self.parts[name].text if name in self.parts else ""

    @property
    def role(self) -> str:
        """Who, with the article: "a registered user"."""
        return self.text("role")

    @property
    def wish(self) -> str:
        """What is wanted, as it follows "I want": "to see my orders" or "a list of orders"."""
        if "want" not in self.parts:
            return ""
        return f"to {self.text('want')}" if _TO.search(self.parts["want"].marker) else self.text("want")

    @property
    def benefit(self) -> str:
        """What for, as it follows "so that"."""
        if "benefit" not in self.parts:
            return ""
        ends_in_verb = self.parts["benefit"].marker.casefold().endswith("to")
        return f"{self.pronoun} can {self.text('benefit')}" if ends_in_verb else self.text("benefit")

    @property
    def pronoun(self) -> str:
        """Who speaks: I or we."""
        marker = self.parts["want"].marker if "want" in self.parts else "I"
        return "we" if marker.casefold().startswith("we") else "I"

    @property
    def canonical(self) -> str:
        """Write it in the usual form, as far as its parts are there."""
        said = [f"As {self.role}, {self.pronoun} want {self.wish}"]
        said += [f"so that {self.benefit}"] if self.benefit else []
        return f"{', '.join(said)}."


def narratives(story: str) -> list[Narrative]:
    """Find the narratives of a story: acceptance criteria and open questions are none."""
    # Blanks are not hidden: what stands in a narrative has to come out of it again.
    seen = without(story, [*section(story, CRITERIA), *section(story, QUESTIONS)])
    found: list[Narrative] = []
    for start, end in _blocks(seen):
        # The newline in front stands for the beginning of the block, be it that of the text.
        text = f"\n{seen[start:end]}"
        groups = _groups(text)
        starts = [match.start() for group in groups for match in group] + [len(text)]
        number = 0
        for group in groups:
            one = Narrative()
            for match in group:
                number += 1
                part = _part(text, match, starts[number], start - 1)
                if part.text:
                    one.is_whole &= not one.parts or _BETWEEN.fullmatch(seen, one.end, part.start) is not None
                    one.parts[str(match.lastgroup)] = part
            if "want" in one.parts or "role" in one.parts:
                found.append(one)
    return found


def _blocks(story: str) -> Iterator[tuple[int, int]]:
    """Give the stretches of lines in which a narrative may stand: up to an empty line, a heading or the next item of a list."""
    start: int | None = None
    end = 0
    for line in lines(story):
        is_edge = not line.text.strip() or heading(line) is not None or _STEPS.match(line.bare) is not None
        if start is not None and (is_edge or line.is_bullet):
            yield start, end
            start = None
        if not is_edge:
            start = line.start if start is None else start
            end = line.end
    if start is not None:
        yield start, end


def _part(text: str, match: re.Match[str], until: int, offset: int) -> Part:
    """Cut out what follows a marker: it ends with its sentence, or where the next marker begins."""
    stop = _END.search(text, match.end(), until)
    said = " ".join(text[match.end() : stop.start() if stop else until].replace("*", " ").split())
    marker = " ".join(match[0].replace("*", " ").split())
    begin = _LEAD.match(text, match.start()).end()  # type: ignore[union-attr]  # it matches nothing as well
    end = stop.end() if stop else match.end() + len(text[match.end() : until].rstrip())
    return Part(marker, said.strip(" ,;:-\u2013\u2014"), offset + begin, offset + end)


def _groups(text: str) -> list[list[re.Match[str]]]:
    """Find where clauses begin, one list for each narrative.

    Many words are no markers where they stand: "so that I can", "what we need", "exported, as a file". A further narrative
    begins with a sentence of its own that has a role, or a wish where no narrative has a role.
    """
    found = list(_MARKERS.finditer(text))
    groups: list[list[re.Match[str]]] = []
    kinds: set[str | None] = set()
    has_roles = False
    for number, match in enumerate(found):
        kind, following = match.lastgroup, found[number + 1] if number + 1 < len(found) else None
        next_kind = following.lastgroup if following else None
        is_first = text[max(0, match.start() - _NEAR) : match.start()].rstrip(" \t*>-")[-1:] in {"", "\n", ".", "!", "?", ":"}
        if kind == "role":
            if _NO_ROLE.match(text, match.end() - len(match[0].lstrip(" \t*"))):
                continue
            opens = "role" in kinds or ("want" in kinds and is_first)
            if opens and not (is_first and next_kind == "want"):
                continue
            has_roles = True
        elif kind == "want":
            opens = "want" in kinds
            is_inside = (
                not opens
                and "benefit" in kinds
                and match.start() - (last := groups[-1][-1].end()) < _NEAR
                and text[last : match.start()].isspace()
            )
            if is_inside or (opens and (has_roles or not is_first)):
                continue
        else:
            opens = "want" in kinds and is_first and next_kind == "role"
            if "benefit" in kinds and not opens:
                continue
        if opens or not groups:
            groups.append([])
            kinds = set()
        groups[-1].append(match)
        kinds.add(kind)
    return groups
