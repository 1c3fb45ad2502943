"""Format: "As a …, I want …, so that …", one story at a time; what has these parts in other words is put into that form."""

import re

from actors.stories.narrative import Narrative, narratives
from actors.stories.review import Finding, Review, finding, review
from actors.stories.text import Sentences, prose

_ANYBODY = re.compile(
    r"(?:an?\s+|the\s+)?(?:user|users|person|people|someone|somebody|anyone|everyone|customer|client|human|stakeholder)s?",
    re.IGNORECASE,
)
NOBODY = re.compile(
    r"(?:an?\s+|the\s+)?(?:\w+\s+)?(?:system|application|app|server|database|api|backend|frontend|service|software|"
    r"developer|programmer|engineer|development team|dev team)s?",
    re.IGNORECASE,
)
_SMALL = frozenset(
    re.findall(
        r"\w+", "a an the to of in on and or my our me us i we can that it is be am are so for with able will not have has get"
    )
)
_WORD = re.compile(r"\w+")


def review_format(story: str) -> Review:
    """Look at who wants what and what for, and put complete narratives into the usual form."""
    found = narratives(story)
    if not found:
        return review([_no_story(story)], story)
    findings: list[Finding] = []
    parts, place = [], 0
    for number, one in enumerate(found):
        if number:
            text = "Several stories in one: give each a card of its own, so that it can be estimated and done alone."
            findings.append(finding(story, "several-stories", one.start, one.end, text))
        findings += _of_one(story, one)
        written = story[one.start : one.end]
        if one.role and one.wish and one.is_whole and written.strip() != one.canonical:
            text = f"Write it in the usual form: {one.canonical}"
            findings.append(finding(story, "not-canonical", one.start, one.end, text))
            gap = story[place : one.start]
            parts += [gap.rstrip(" \t") + "\n\n" if number and gap.strip(" \t") == "" else gap, one.canonical]
            # What ended with the block's own space goes on with it.
            parts += written[len(written.rstrip()) :]
            place = one.end
    return review(findings, "".join([*parts, story[place:]]))


def _no_story(story: str) -> Finding:
    text = "Say who wants what and what for: As a …, I want …, so that …."
    return finding(story, "no-story", *Sentences(prose(story)).first(), text)


def _of_one(story: str, one: Narrative) -> list[Finding]:
    findings = []

    def add(rule: str, suggestion: str, part: str | None = None) -> None:
        span = (one.parts[part].start, one.parts[part].end) if part else (one.start, one.end)
        findings.append(finding(story, rule, *span, suggestion))

    if not one.role:
        add("missing-role", "Say who wants this: begin with “As a …” and a role that your users would recognise.")
    elif NOBODY.fullmatch(one.role):
        text = f"“{one.role}” builds or is the product and gains nothing from it: name the person who does."
        add("role-is-no-user", text, "role")
    elif _ANYBODY.fullmatch(one.role):
        text = f"“{one.role}” says nothing about needs: name the kind of user, as in “a returning customer”."
        add("role-says-nothing", text, "role")
    if not one.wish:
        add("missing-wish", "Say what is wanted: “I want to …”.")
    if not one.benefit:
        add("missing-benefit", "Say what for: “so that …”. Without it nobody can weigh the story or find a cheaper way.")
    elif one.wish and not _words(one.benefit) - _words(one.wish):
        add("benefit-repeats-wish", "The benefit repeats the wish: say what becomes possible with it.", "benefit")
    return findings


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold())) - _SMALL
