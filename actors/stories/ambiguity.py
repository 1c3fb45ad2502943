"""Ambiguity: words that two readers understand in two ways, each with the question that settles it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from actors.stories.review import Finding, Review, finding, review
from actors.stories.text import CRITERIA, QUESTIONS, Sentences, prose, section, with_lines, without

_MOST_QUESTIONS = 30


class Vague(NamedTuple):
    """Words of one kind; `measurable` ones are clear in a sentence that names a quantity."""

    rule: str
    suggestion: str
    words: str
    measurable: bool = False


_KINDS = (
    Vague(
        "vague-speed",
        "Say within how many seconds, for which share of requests and under which load.",
        r"fast|quick(?:ly)?|slow(?:ly)?|rapid(?:ly)?|swift(?:ly)?|speedy|performant|responsive|instant(?:ly|aneous(?:ly)?)?|"
        r"real[- ]time|high[- ]performance|without delay|in no time",
        measurable=True,
    ),
    Vague(
        "vague-ease",
        "Say who can do it, in how many steps or minutes, without being shown.",
        r"easy|easily|simple|simply|user[- ]friendly|intuitive(?:ly)?|convenient(?:ly)?|effortless(?:ly)?|hassle[- ]free|"
        r"straightforward|self[- ]explanatory|ergonomic|seamless(?:ly)?|smooth(?:ly)?|frictionless",
        measurable=True,
    ),
    Vague(
        "vague-quality",
        "Say what can be seen or counted that tells good from bad here.",
        r"nice(?:ly)?|good|bad|great|modern|clean(?:ly)?|robust|flexible|flexibly|scalable|efficient(?:ly)?|reliable|reliably|"
        r"stable|maintainable|high[- ]quality|state[- ]of[- ]the[- ]art|best[- ]in[- ]class|world[- ]class|beautiful|attractive|"
        r"powerful|elegant|optimal(?:ly)?|meaningful|useful|helpful|comfortable|appealing|secure(?:ly)?",
        measurable=True,
    ),
    Vague(
        "vague-fit",
        "Name the condition or the list that decides what counts.",
        r"appropriate(?:ly)?|adequate(?:ly)?|reasonable|reasonably|sufficient(?:ly)?|suitable|suitably|proper(?:ly)?|"
        r"relevant|acceptable|correct(?:ly)?|normal(?:ly)?|typical(?:ly)?|standard|usual|desired|certain|special|sensible",
    ),
    Vague(
        "vague-amount",
        "Give a number or a range.",
        r"some|several|many|few|various|multiple|numerous|a lot of|lots of|plenty of|a couple of|a number of|most|"
        r"large|huge|big|small|tiny|minimal|significant(?:ly)?|considerable|enough|roughly|approximately|almost|nearly",
        measurable=True,
    ),
    Vague(
        "vague-time",
        "Say when, how often or within which time.",
        r"soon|later|as soon as possible|asap|immediate(?:ly)?|recent(?:ly)?|regular(?:ly)?|often|sometimes|usually|rarely|"
        r"frequent(?:ly)?|occasional(?:ly)?|periodic(?:ally)?|eventually|timely|in time|from time to time|at times|promptly|"
        r"short[- ]term|long[- ]term|temporar(?:y|ily)",
        measurable=True,
    ),
    Vague(
        "open-list",
        "Finish the list, or say by which rule something belongs to it.",
        r"etc\b\.?|and so on|and so forth|and more|among others|and the like|or similar|or something|and others|"
        r"including but not limited to|such as|e\.g\.|for example|for instance|and stuff",
    ),
    Vague("and-or", "Say which: all of them, exactly one, or any of them.", r"and\s?/\s?or|either\s?/\s?or|or\s?/\s?and"),
    Vague(
        "escape-clause",
        "Say in which case, and what happens in the others; or leave it out.",
        r"as needed|if needed|when needed|where needed|if necessary|when necessary|where necessary|as necessary|if possible|"
        r"where possible|when possible|as far as possible|as required|if required|when required|where applicable|"
        r"if applicable|as applicable|if desired|if wanted|ideally|optionally|preferably|probably|possibly|maybe|perhaps|might|"
        r"at least try|best effort|up to a point|to some extent|in most cases|in some cases|by and large",
    ),
    Vague(
        "unquantified-comparative",
        "Say compared with what, measured how, and by how much.",
        r"faster|quicker|slower|easier|simpler|better|worse|fewer|larger|bigger|smaller|cheaper|safer|clearer|nicer|smarter|"
        r"higher|lower|shorter|(?<!no )longer|improved?|optimi[sz]ed?|enhanced?|streamlined?|"
        r"(?:more|less)\s(?!(?:than|and|about|but|orders?|items?)\b)[a-z]{3,30}",
        measurable=True,
    ),
    Vague(
        "vague-verb",
        "Say what it does: which input, which outcome, which errors.",
        r"handles?|supports?|deals? with|takes? care of|copes? with|facilitates?|leverages?|works? with|interacts? with",
    ),
    Vague(
        "undecided",
        "Decide it, or say who decides it until when.",
        r"tbd|tba|tbc|todo|to be (?:defined|determined|decided|confirmed|discussed|clarified)|\?\?+|somehow|something|whatever",
    ),
)
_BY_RULE = {kind.rule: kind for kind in _KINDS}


def _group(rule: str) -> str:
    return rule.replace("-", "_")


_VAGUE = re.compile(
    "|".join(rf"(?P<{_group(kind.rule)}>(?<!\w)(?<!\w-)(?:{kind.words})(?!\w)(?!-\w))" for kind in _KINDS), re.IGNORECASE
)
_IRREGULAR = (
    "sent|shown|given|made|kept|told|found|held|written|built|bought|sold|set|put|read|known|seen|done|taken|chosen|hidden|"
    "broken|drawn|driven|stored|paid|lost|met|run|begun|left|led|brought|caught|taught|thrown|withdrawn|reset|spent"
)
_PASSIVE = re.compile(
    rf"\b(?:is|are|was|were|be|been|being|gets?|got)[ \t]{{1,4}}(?:not[ \t]{{1,4}})?(?:[a-z]{{1,20}}ly[ \t]{{1,4}})?"
    rf"(?:[a-z]{{2,20}}(?<!ne)(?<!spe)(?<!exce)(?<!inde)ed|{_IRREGULAR})\b",
    re.IGNORECASE,
)
# Participles that are adjectives as a rule: nobody does anything there.
_STATES = re.compile(
    r"\b(?:interested|logged|signed|tired|allowed|supposed|based|related|located|concerned|registered)$",
    re.IGNORECASE,
)
_BY = re.compile(r"[^.!?\n]{0,120}?\bby\b", re.IGNORECASE)


def vague(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Find vague words: the rule, where they stand, and what to do about them.

    :param text: a story whose open questions are hidden.
    """
    sentences = Sentences(text)
    for match in _VAGUE.finditer(text):
        kind = _BY_RULE[str(match.lastgroup).replace("_", "-")]
        if not (kind.measurable and sentences.is_quantified(match.start())):
            yield kind.rule, match.start(), match.end(), kind.suggestion


def review_ambiguity(story: str) -> Review:
    """List what can be understood in two ways, and put the questions at the end of the story."""
    seen = prose(story)
    # In a criterion “is refused” is what can be observed, whoever does it.
    places = [*vague(seen), *_passives(without(seen, section(seen, CRITERIA)))]
    findings = [finding(story, rule, start, end, text) for rule, start, end, text in sorted(places, key=lambda place: place[1])]
    made = review(findings, story)
    questions = [question(one) for one in made.findings[:_MOST_QUESTIONS]]
    return Review(made.findings, with_lines(story, QUESTIONS, questions), made.omitted)


def question(one: Finding) -> str:
    """Write a finding as an open question of the story."""
    return f"“{' '.join(one.excerpt.split())}” ({one.rule}): {one.suggestion}"


def _passives(text: str) -> Iterator[tuple[str, int, int, str]]:
    for match in _PASSIVE.finditer(text):
        if not _STATES.search(match[0]) and not _BY.match(text, match.end()):
            said = " ".join(match[0].split())
            yield "passive-without-actor", match.start(), match.end(), f"Say who or what does it: “{said}” by whom?"
