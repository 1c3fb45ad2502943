"""INVEST: independent, negotiable, valuable, estimable, small and testable, by what can be seen in a story's words."""

import re
from collections.abc import Iterator

from actors.stories.acceptance import criteria
from actors.stories.ambiguity import question
from actors.stories.format import NOBODY
from actors.stories.narrative import Narrative, narratives
from actors.stories.review import Finding, Review, finding, review
from actors.stories.text import QUESTIONS, Sentences, prose, with_lines
from actors.stories.topics import words

_MOST_WORDS, _MOST_IN_ALL, _MOST_CRITERIA, _MOST_WISHES = 50, 400, 8, 2
_MOST_QUESTIONS = 30

_DEPENDS = words(
    r"depends on|depending on|blocked by|after (?:the )?(?:previous|other|first|last) stor(?:y|ies)|"
    r"(?:needs?|requires?|see|follows|builds on|part of) (?:the )?(?:previous |other |user )?stor(?:y|ies)|"
    r"(?:once|when|after) (?:story |ticket |issue )?(?:#\d+|[A-Z][A-Z0-9]{1,9}-\d+)|previous sprint|next sprint"
)
_PRESCRIBED = words(
    r"using (?-i:[A-Z])\w+|(?:built|implemented|written|realized|developed) (?:with|in|using)|drop-?downs?|"
    r"radio buttons?|check ?boxes|"
    r"check ?box|modal|pop-?up|\d+ ?px|pixels?|stored procedures?|database tables?|sql|rest(?:ful)? api|graphql|json|xml|kafka|"
    r"rabbitmq|redis|mongodb|postgres(?:ql)?|mysql|react|angular|vue|jquery|microservices?|cron ?jobs?|regex|cookies?|"
    r"(?:blue|red|green|yellow|grey|gray) buttons?"
)
_UNKNOWN = re.compile(
    r"\b(?:tbd|tba|tbc|todo|to be (?:defined|determined|decided|discussed)|somehow|investigate|research|explore|find out|"
    r"figure out|evaluate|spike|unclear|unknown|not sure)\b|\?\?+",
    re.IGNORECASE,
)
_EPIC = words(
    r"manag(?:e|es|ing)|administ(?:er|ers|ering|rate)|maintain|everything|the (?:whole|entire|complete|full) \w+|"
    r"end[- ]to[- ]end|"
    r"all kinds of|all types of|complete solution|from scratch|platform|overhaul|redesign|rewrite|crud"
)
_ABSOLUTE = words(
    r"always|never|at all times|under all circumstances|in all cases|every possible|all possible|100 ?%|zero errors|no errors|"
    r"bug[- ]free|error[- ]free|no downtime|any device|all browsers|every browser|perfect(?:ly)?"
)
_JOINT = re.compile(r"\b(?:and(?: then)?|as well as|plus|along with)\s+(?=(?:also\s+|to\s+)?[a-z]{2,})|;\s*", re.IGNORECASE)
_NOT_TESTABLE = words(r"feel|feels|think|believe|like it|love|happy|delighted|satisfied|confident|aware|understand|enjoy")


def review_invest(story: str) -> Review:
    """Look at the six properties, and put what is open at the end of the story as questions."""
    seen = prose(story)
    made = review(_all(story, seen), story)
    # What is missing is said by a finding; only what is there and doubtful is a question to its author.
    questions = [question(one) for one in made.findings if one.rule not in {"valuable-no-benefit", "testable-no-criteria"}]
    return Review(made.findings, with_lines(story, QUESTIONS, questions[:_MOST_QUESTIONS]), made.omitted)


def _all(story: str, seen: str) -> Iterator[Finding]:
    yield from _by_words(
        story, seen, "independent-of-others", _DEPENDS, "Cut the stories so that each can be done alone, or join the two."
    )
    yield from _by_words(
        story, seen, "negotiable-solution", _PRESCRIBED, "Say what is needed and leave how to those who build it, or say why not."
    )
    yield from _by_words(
        story, seen, "estimable-unknown", _UNKNOWN, "Answer this first, in a task with a fixed time, then estimate."
    )
    yield from _by_words(
        story, seen, "small-epic", _EPIC, "Name the first step that is of use alone: one thing that one role can do."
    )
    yield from _by_words(
        story, seen, "testable-absolute", _ABSOLUTE, "No test shows this: name the cases that are tried, or a rate."
    )
    told = narratives(story)
    for one in told:
        yield from _of_one(story, one)
    yield from _size(story, seen, told)
    if not criteria(seen):
        span = (told[0].start, told[0].end) if told else Sentences(seen).first()
        yield finding(
            story, "testable-no-criteria", *span, "Add acceptance criteria: without them nobody can say when it is done."
        )


def _by_words(story: str, seen: str, rule: str, pattern: re.Pattern[str], suggestion: str) -> Iterator[Finding]:
    for match in pattern.finditer(seen):
        yield finding(story, rule, *match.span(), suggestion)


def _of_one(story: str, one: Narrative) -> Iterator[Finding]:
    span = (one.start, one.end)
    if not one.benefit:
        yield finding(story, "valuable-no-benefit", *span, "Say what it is good for; if nobody can, leave the story out.")
    if one.role and NOBODY.fullmatch(one.role):
        text = "Name who gains by it: work on the product's inside is part of a story, not one."
        yield finding(story, "valuable-technical-role", one.parts["role"].start, one.parts["role"].end, text)
    if "benefit" in one.parts and (match := _NOT_TESTABLE.search(story, one.parts["benefit"].start, one.parts["benefit"].end)):
        yield finding(
            story, "testable-feeling", *match.span(), "Say by what one sees it: a number that changes, something done less often."
        )
    if "want" in one.parts:
        wishes = len(_JOINT.findall(one.wish)) + 1
        if wishes > _MOST_WISHES:
            text = f"It has {wishes} wishes in one: make each a story and see which one is worth most."
            yield finding(story, "small-several-wishes", one.parts["want"].start, one.parts["want"].end, text)
    length = len(story[slice(*span)].split())
    if length > _MOST_WORDS:
        text = f"It takes {length} words to say; beyond {_MOST_WORDS} a story is most often two."
        yield finding(story, "small-long-narrative", *span, text)


def _size(story: str, seen: str, told: list[Narrative]) -> Iterator[Finding]:
    first = (told[0].start, told[0].end) if told else Sentences(seen).first()
    length = len(seen.split())
    if length > _MOST_IN_ALL:
        text = f"{length} words in all: keep the conversation in the story to what is needed to begin ({_MOST_IN_ALL} words)."
        yield finding(story, "small-long-text", *first, text)
    count = len(criteria(seen))
    if count > _MOST_CRITERIA:
        yield finding(
            story, "small-many-criteria", *first, f"{count} criteria: more than {_MOST_CRITERIA} are most often two stories."
        )
    if len(told) > 1:
        yield finding(
            story, "small-several-stories", told[1].start, told[1].end, "Take one story at a time: this is a second one."
        )
