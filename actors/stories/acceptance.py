"""Acceptance criteria: Given, When, Then, each of them there, complete and something that can be observed."""

import re
from dataclasses import dataclass, field

from actors.stories.ambiguity import vague
from actors.stories.narrative import Narrative, narratives
from actors.stories.review import Finding, Review, finding, review
from actors.stories.text import CRITERIA, QUESTIONS, Line, heading, lines, prose, section, with_lines

_STEP = re.compile(r"(?:\b|(?<=\*))(given|when|then)\b", re.IGNORECASE)
_FIRST = re.compile(r"(?:scenario[^:\n]{0,200}:[ \t]{0,8})?\*{0,3}(given|when|then|and|but)\b", re.IGNORECASE)
_FAILURE = re.compile(
    r"\b(?:error|invalid|fails?|failed|failure|refus\w{0,4}|reject\w{0,4}|den(?:y|ied|ies)|wrong|missing|empty|expired?|not|no|"
    r"nothing|cannot|can['\u2019]t|unknown|without|too (?:large|long|many)|exceed\w{0,4}|unavailable|duplicate)\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\[[^\]\n]{3,200}\]")
_LONGEST_QUOTE = 150
_STEPS = ("given", "when", "then")
_MISSING = {
    "given": "[the situation before]",
    "when": "[what is done]",
    "then": "[what can be observed afterwards]",
}


@dataclass
class Criterion:
    """One criterion, of one line or of several, and the steps that it has."""

    lines: list[Line] = field(default_factory=list)
    steps: set[str] = field(default_factory=set)

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.lines[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.lines[-1].start + len(self.lines[-1].text.rstrip())

    @property
    def missing(self) -> list[str]:
        """Which steps it lacks."""
        return [step for step in _STEPS if step not in self.steps]


def criteria(story: str) -> list[Criterion]:
    """Find a story's criteria: what stands in their section, and Given, When, Then wherever they stand."""
    inside = set(section(story, CRITERIA))
    questions = set(section(story, QUESTIONS))
    found: list[Criterion] = []
    current: Criterion | None = None
    for line in lines(story):
        first = _FIRST.match(line.bare.lstrip("* \t"))
        if not line.bare or heading(line) is not None or line in questions or not (line in inside or first):
            current = None
            continue
        word = first[1].casefold() if first else ""
        goes_on = word in {"when", "then", "and", "but"} and current is not None and word not in current.steps
        if not goes_on:
            if word in {"when", "and", "but", "then"} and line not in inside:
                current = None  # ordinary prose that begins with such a word
                continue
            current = Criterion()
            found.append(current)
        assert current is not None  # noqa: S101 - made above
        current.lines.append(line)
        current.steps |= {match[1].casefold() for match in _STEP.finditer(line.bare)} if first or _is_steps(line) else set()
    return found


def review_acceptance(story: str) -> Review:
    """Look whether each criterion is complete and can be observed; add a skeleton where there is none."""
    seen = prose(story)
    found = criteria(story)
    told = narratives(story)
    if not found:
        span = (told[0].start, told[0].end) if told else (0, len(story))
        text = "Say how anybody can see that it is done: Given …, when …, then …. A skeleton has been added."
        skeleton = [line for one in told[:10] for line in _skeleton(one)] or _skeleton(Narrative())
        return review([finding(story, "no-criteria", *span, text)], with_lines(story, CRITERIA, skeleton))
    findings: list[Finding] = []
    parts, place = [], 0
    for one in found:
        findings += _of_one(story, seen, one)
        addition = _addition(one)
        parts += [story[place : one.end], addition]
        place = one.end
    revised = "".join([*parts, story[place:]])
    if not any(_FAILURE.search(seen, one.start, one.end) for one in found):
        text = "Say what happens when something is missing, wrong or not allowed: nobody has written that case down."
        findings.append(finding(story, "no-failure-case", found[0].start, found[-1].end, text))
        revised = with_lines(revised, CRITERIA, [_failure(told[0] if told else Narrative())])
    return review(findings, revised)


def _of_one(story: str, seen: str, one: Criterion) -> list[Finding]:
    findings = []
    span = (one.start, one.end)
    if not one.steps:
        text = "Write it as Given …, when …, then …, so that it can be tried out step by step."
        findings.append(finding(story, "not-given-when-then", *span, text))
    elif one.missing:
        text = f"It lacks {' and '.join(step.capitalize() for step in one.missing)}: say {_lack(one.missing)}."
        findings.append(finding(story, "incomplete-criterion", *span, text))
    for match in _PLACEHOLDER.finditer(story, *span):
        findings.append(finding(story, "unfilled-placeholder", *match.span(), "Put in what really happens."))  # noqa: PERF401
    for rule, start, end, suggestion in vague(seen[one.start : one.end]):
        text = f"It cannot be measured ({rule}): {suggestion}"
        findings.append(finding(story, "not-measurable", one.start + start, one.start + end, text))
    return findings


def _addition(one: Criterion) -> str:
    """Write the steps that a criterion has begun and lacks."""
    if not one.steps or not one.missing:
        return ""
    wanted = [f"{step} {_MISSING[step]}" for step in one.missing]
    last = one.lines[-1]
    if len(one.lines) == 1:
        return f", {', '.join(wanted)}"
    indent = last.text[: len(last.text) - len(last.text.lstrip())]
    return "".join(f"\n{indent}{step[0].upper()}{step[1:]}" for step in wanted)


def _lack(missing: list[str]) -> str:
    words = {"given": "how things stand before", "when": "what is done", "then": "what can be observed afterwards"}
    return " and ".join(words[step] for step in missing)


def _is_steps(line: Line) -> bool:
    return {match[1].casefold() for match in _STEP.finditer(line.bare)} >= {"when", "then"}


def _skeleton(one: Narrative) -> list[str]:
    benefit = f", so that {one.benefit}" if 0 < len(one.benefit) <= _LONGEST_QUOTE else ""
    return [
        f"Given {_situation(one)} and [how things stand before], when {_action(one)}, then [what can be observed{benefit}].",
        _failure(one),
    ]


def _failure(one: Narrative) -> str:
    return (
        f"Given {_situation(one)} and [what is missing, wrong or not allowed], when {_action(one)}, "
        "then [which message appears] and nothing changes."
    )


def _situation(one: Narrative) -> str:
    return (
        f"{one.pronoun} {'are' if one.pronoun == 'we' else 'am'} {one.role}"
        if 0 < len(one.role) <= _LONGEST_QUOTE
        else "[who it is]"
    )


def _action(one: Narrative) -> str:
    wish = one.wish
    if not 0 < len(wish) <= _LONGEST_QUOTE:
        return "[what is done]"
    return f"{one.pronoun} {wish.removeprefix('to ')}" if wish.startswith("to ") else f"{one.pronoun} have {wish}"
