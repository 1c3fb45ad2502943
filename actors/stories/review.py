"""What a reviewer returns: what it found, and the story as it would have it."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

MOST_FINDINGS = 100
_MOST_EXCERPT = 240


class Finding(msgspec.Struct, frozen=True):
    """Something to be mended.

    `rule`: the name of what is broken. `excerpt`: the very words of the story. `suggestion`: a sentence for its author.
    """

    rule: str
    excerpt: str
    suggestion: str


class Review(msgspec.Struct, frozen=True):
    """A reviewer's findings in a story, and the revised story; `omitted` counts findings beyond the first 100."""

    findings: list[Finding]
    story: str
    omitted: int = 0


Reviewer: TypeAlias = Callable[[str], Review]


def finding(story: str, rule: str, start: int, end: int, suggestion: str) -> Finding:
    """Make a finding about a part of a story, whose excerpt is its beginning if it is long."""
    part = story[start:end].strip()
    return Finding(rule, part[:_MOST_EXCERPT].rstrip() or story.strip()[:_MOST_EXCERPT].rstrip(), suggestion)


def review(findings: Iterable[Finding], story: str) -> Review:
    """Put a review together: of findings that say the same of the same words the first one stays."""
    distinct = list({(one.rule, one.excerpt.casefold()): one for one in reversed(list(findings))}.values())[::-1]
    return Review(distinct[:MOST_FINDINGS], story, max(0, len(distinct) - MOST_FINDINGS))
