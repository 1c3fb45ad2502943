"""Reviews by a language model: what it is told, and which of its answers are taken."""

import re
from typing import Annotated

import msgspec

from actors.answers import Model
from actors.stories.review import MOST_FINDINGS, Finding, Review
from middleware.text import storable

_MOST_GROWTH, _ROOM_BYTES = 4, 16 * 1024
_LEAST_KEPT = 0.5
_WORD = re.compile(r"\w+")

_TASKS = {
    "format": "Is there one story in the form “As a <role>, I want <wish>, so that <benefit>.”? Put it into that form.",
    "invest": "Is it independent, negotiable, valuable, estimable, small and testable? Begin each rule's name with the property.",
    "acceptance": "Has it acceptance criteria in the form Given, When, Then, complete and measurable, failures "
    "included? Add them.",
    "ambiguity": "Which words can two readers understand in two ways: vague words, open lists, passives without an actor, "
    "comparatives without a number? Put what has to be decided under the heading “Open questions:”.",
    "security": "Which threats does it not meet: authentication, authorisation, validation, encryption, audit, misuse? "
    "Add acceptance criteria for them.",
    "accessibility": "What does it not say for people who use a keyboard, a screen reader, large print or captions (WCAG 2.2, "
    "level AA)? Add acceptance criteria for it.",
}
_ORDERS = """\
You review user stories of a software team. {task}
Keep all that the story says; change or add only what your review asks for. Reply with JSON of this shape:
{{"findings": [{{"rule": "short-name-of-the-rule", "excerpt": "words copied exactly from the story",
"suggestion": "one or two sentences"}}], "story": "the whole revised story"}}"""


class _Finding(msgspec.Struct):
    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    excerpt: Annotated[str, msgspec.Meta(pattern=r"\S")]
    suggestion: Annotated[str, msgspec.Meta(pattern=r"\S", max_length=2_000)]


class _Reply(msgspec.Struct):
    findings: Annotated[list[_Finding], msgspec.Meta(max_length=MOST_FINDINGS)]
    story: Annotated[str, msgspec.Meta(pattern=r"\S")]


def review(model: Model, name: str, story: str) -> Review:
    """Let the model do an iteration.

    :raises NoAnswerError: its reply cannot be used.
    :raises Retryable: there is none for now.
    """
    reply = model.ask(_ORDERS.format(task=_TASKS[name]), story, _Reply, check=lambda answer: _wrong(answer, story))
    findings = [Finding(storable(one.rule), one.excerpt, storable(one.suggestion)) for one in reply.findings]
    return Review(findings, storable(reply.story))


def _wrong(reply: _Reply, story: str) -> str | None:
    """Say why a reply cannot be used; None if it can."""
    if any(one.excerpt not in story for one in reply.findings):
        return "an excerpt in the model's reply is not in the story"
    if len(reply.story.encode("utf-8", "replace")) > _MOST_GROWTH * len(story.encode()) + _ROOM_BYTES:
        return "the story in the model's reply is far longer than the one that it was given"
    words = set(_WORD.findall(story.casefold()))
    if len(words & set(_WORD.findall(reply.story.casefold()))) < _LEAST_KEPT * len(words):
        return "the story in the model's reply has lost much of the one that it was given"
    return None
