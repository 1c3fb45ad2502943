"""Topics: what a story touches on, and the criteria that such a story needs."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from actors.stories.review import Finding, Review, finding, review
from actors.stories.text import CRITERIA, Line, lines, prose, with_lines, without


class Need(NamedTuple):
    """What a story on a topic has to say.

    :param present: words by which one sees that it is said.
    :param suggestion: a sentence for the author.
    :param criterion: the acceptance criterion that is added where it is not.
    """

    rule: str
    present: re.Pattern[str]
    suggestion: str
    criterion: str


class Topic(NamedTuple):
    """Something that stories are about, known by its words."""

    trigger: re.Pattern[str]
    needs: tuple[Need, ...]


def words(pattern: str) -> re.Pattern[str]:
    """Compile words, whole ones unless the pattern says otherwise."""
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


def review_topics(story: str, topics: Sequence[Topic]) -> Review:
    """Look which topics a story touches on and what it does not say about them; add the criteria that it lacks."""
    seen = prose(story)
    own = {need.criterion for topic in topics for need in topic.needs}
    # The criteria that reviewers have added name things, too, and are not what the story is about.
    said = without(seen, [line for line in lines(seen) if _is_added(line, own)])
    findings: list[Finding] = []
    added: list[str] = []
    for topic in topics:
        match = topic.trigger.search(said)
        if match is None:
            continue
        for need in topic.needs:
            if need.present.search(seen) is None:
                findings.append(finding(story, need.rule, *match.span(), need.suggestion))
                added.append(need.criterion)
    return review(findings, with_lines(story, CRITERIA, added))


def _is_added(line: Line, own: set[str]) -> bool:
    return line.bare in own or line.bare in ADDED


# What the reviewers of topics may have added; each enters its own.
ADDED: set[str] = set()


def enter(topics: Sequence[Topic]) -> Sequence[Topic]:
    """Make a reviewer's criteria known to the others."""
    ADDED.update(need.criterion for topic in topics for need in topic.needs)
    return topics
