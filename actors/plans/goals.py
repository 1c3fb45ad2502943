"""From goals to tasks by rules: a goal of several parts is taken apart, one of a single part gets its kind's steps."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from persistence.plans import NewTask

MOST_OF_A_GOAL = 20
_LONGEST_TITLE = 200

_VERBS = (
    "add|adapt|agree|allow|analyse|analyze|announce|apply|archive|ask|assign|audit|automate|back up|benchmark|book|build|buy|"
    "call|change|check|choose|clean|collect|compare|configure|connect|contact|convert|copy|create|cut|decide|define|delete|"
    "deliver|deploy|design|develop|disable|discuss|document|draft|drop|enable|estimate|evaluate|explain|export|extend|extract|"
    "file|find|fix|gather|get|give|grow|hire|host|identify|implement|import|improve|increase|inform|install|integrate|interview|"
    "introduce|inventory|invite|launch|learn|let|list|load|lower|make|map|market|measure|meet|merge|migrate|model|monitor|move|"
    "negotiate|notify|offer|open|order|organise|organize|pack|pay|plan|prepare|present|print|prototype|provide|publish|raise|read|"
    "record|recruit|reduce|refactor|register|release|remove|rename|repair|replace|report|research|review|rewrite|roll out|run|"
    "scan|schedule|secure|select|sell|send|set|set up|shorten|show|sign|speed up|split|start|stop|store|switch|teach|tell|test|"
    "train|translate|turn|update|upgrade|upload|validate|verify|visit|write"
)
_ITEM = re.compile(r"^[ \t]*(?:[-*•+]|\d{1,3}[.)]|\[[ xX]?\])[ \t]+", re.MULTILINE)
_CUT = re.compile(
    r"[ \t]*;[ \t]*|(?<=[a-z)])\.[ \t]+(?=[A-Z])"
    rf"|,?[ \t]+(?:and[ \t]+then|then|and[ \t]+finally|finally|after[ \t]+that|afterwards|next),?[ \t]+(?=(?:{_VERBS})\b)"
    rf"|,?[ \t]+and[ \t]+(?=(?:{_VERBS})[ \t])|,[ \t]+(?=(?:{_VERBS})[ \t])",
    re.IGNORECASE,
)
_LEAD = re.compile(r"\d{1,3}[.)][ \t]+|(?:first|then|and|next|finally|we (?:need|want|have) to|please|to)[, \t]+", re.IGNORECASE)
_AFTER = re.compile(r"(?:after|once|when)[ \t]+(?P<before>[^,]{3,200}),[ \t]+(?P<then>.+)", re.IGNORECASE | re.DOTALL)
_BEFORE = re.compile(r"(?P<then>.+?)[ \t]+before[ \t]+(?P<after>[^,.]{3,200})", re.IGNORECASE | re.DOTALL)


class _Kind(NamedTuple):
    """Goals of one kind: the words that begin them, and what there is to do, where {goal} stands for the goal itself."""

    verbs: re.Pattern[str]
    steps: tuple[str, ...]


def _kind(verbs: str, *steps: str) -> _Kind:
    return _Kind(re.compile(rf"(?:{verbs})\b", re.IGNORECASE), steps)


_KINDS = (
    _kind(
        "fix|repair|stop|resolve",
        "Reproduce what is wrong: {goal}",
        "{goal}",
        "Add a check that fails when it comes back: {goal}",
    ),
    _kind(
        "improve|increase|reduce|raise|lower|speed up|shorten|cut|grow|optimi[sz]e",
        "Measure how it stands today and set the figure to reach: {goal}",
        "{goal}",
        "Measure again and compare with the figure: {goal}",
    ),
    _kind(
        "migrate|move|replace|upgrade|switch|convert|roll out",
        "List what is affected: {goal}",
        "Rehearse it on a copy, with the way back: {goal}",
        "{goal}",
        "Check the outcome and remove what is no longer used: {goal}",
    ),
    _kind(
        "research|evaluate|analy[sz]e|compare|choose|decide|select|investigate|find|identify|learn",
        "Write down the questions and what an answer has to meet: {goal}",
        "{goal}",
        "Write down the decision with its reasons: {goal}",
    ),
    _kind(
        "write|document|translate|draft|publish|present|record|explain",
        "Outline it and name its readers: {goal}",
        "{goal}",
        "Have a reader try it and mend what did not work: {goal}",
    ),
    _kind(
        "hire|recruit|train|teach|invite|organi[sz]e|book|buy|order|negotiate|interview",
        "Settle budget, date and who decides: {goal}",
        "{goal}",
        "Confirm it and tell those concerned: {goal}",
    ),
    _kind(
        "add|build|create|implement|develop|introduce|integrate|design|enable|allow|automate|provide|offer|launch|release|make",
        "Agree on what has to be true when it is done: {goal}",
        "{goal}",
        "Test it against what was agreed: {goal}",
        "Release it and tell its users: {goal}",
    ),
)
_OTHER = ("Say what has to be true when it is done: {goal}", "{goal}", "Check that it is true: {goal}")
_VERB = re.compile(rf"(?:{_VERBS})\b", re.IGNORECASE)


def tasks_of(goals: Sequence[str]) -> list[NewTask]:
    """Turn goals into tasks, in their order; a goal's tasks depend on those before them.

    :param goals: what is to be reached, each a text that is not blank.
    :returns: at least one task a goal, and 20 at the most.
    """
    tasks: list[NewTask] = []
    for number, goal in enumerate(goals, 1):
        tasks += _of_goal(number, goal, first=len(tasks) + 1)
    return tasks


def _of_goal(number: int, goal: str, *, first: int) -> list[NewTask]:
    parts = _parts(goal)
    if len(parts) == 1:
        titles = _steps(parts[0])
    else:
        kept = parts[: MOST_OF_A_GOAL - 1]
        rest = parts[len(kept) :]
        titles = [*(_title(part) for part in kept), *([_title("; ".join(rest))] if rest else [])]
    return [
        NewTask(
            number=first + place,
            goal=number,
            title=title,
            details=" ".join(goal.split())[:2_000],
            after=[first + place - 1] if place else [],
        )
        for place, title in enumerate(titles)
    ]


def _parts(goal: str) -> list[str]:
    """Take a goal apart: the items of a list, else what "then", "and", "after" and "before" join."""
    if len(_ITEM.findall(goal)) > 1:
        before, *items = _ITEM.split(goal)
        del before  # the list's heading, which is part of the details
        found = [" ".join(item.split()) for item in items]
        return [item for item in found if item]
    text = " ".join(goal.split())
    if match := _AFTER.fullmatch(text):
        return [*_cut(match["before"]), *_cut(match["then"])]
    if (match := _BEFORE.fullmatch(text.rstrip("."))) and _VERB.match(text):
        return [*_cut(match["then"]), *_cut(match["after"])]
    return _cut(text)


def _cut(text: str) -> list[str]:
    parts = [_LEAD.sub("", part.strip(" .,;"), count=1) if _LEAD.match(part) else part.strip(" .,;") for part in _CUT.split(text)]
    return [part for part in parts if part] or [text]


def _steps(goal: str) -> list[str]:
    for kind in _KINDS:
        if kind.verbs.match(goal):
            return [_title(goal, step) for step in kind.steps]
    return [_title(goal, step) for step in _OTHER]


def _title(goal: str, step: str = "{goal}") -> str:
    said = goal[0].upper() + goal[1:] if step == "{goal}" else goal
    room = _LONGEST_TITLE - len(step) + len("{goal}")
    return step.replace("{goal}", said if len(said) <= room else said[: room - 1].rstrip() + "…")
