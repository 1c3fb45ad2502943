"""Agreement: how far models answer alike, and how sure their shares of right answers are.

It is run by path in a process of its own, `python -I agreement.py`, with the answers as JSON on standard input, for it takes its
time with many of them; therefore it knows the standard library only.
"""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95

Answers = dict[int, tuple[bool | None, str]]
"""By the scenario's number whether the answer is right (None: nobody knows) and what it comes down to."""


def analyse(answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Compare answers.

    :param answers: each with `model`, `scenario` (its number), `correct` (or None) and `same`, equal for equal answers.
    :returns: `confidence`; `models`: of each its share of right answers with its interval; `pairs`: of each two models how many
        scenarios both answered, the share of them with the same answer, and that with the same verdict, with its interval and
        Cohen's kappa.
    """
    by_model: dict[str, Answers] = {}
    for answer in answers:
        by_model.setdefault(answer["model"], {})[answer["scenario"]] = (answer["correct"], answer["same"])
    names = sorted(by_model)
    return {
        "confidence": CONFIDENCE,
        "models": [{"model": name} | _accuracy(by_model[name]) for name in names],
        "pairs": [{"models": [one, other]} | _pair(by_model[one], by_model[other]) for one, other in combinations(names, 2)],
    }


def wilson(right: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Bound a share by Wilson's score interval, which holds for few answers and for shares of 0 and 1, too; None for none."""
    if not count:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def kappa(verdicts: Sequence[tuple[bool, bool]]) -> float | None:
    """Say how far two judges agree beyond chance (Cohen's kappa); None for no verdicts or where both only ever say one thing."""
    if not verdicts:
        return None
    count = len(verdicts)
    one, other = sum(a for a, _ in verdicts) / count, sum(b for _, b in verdicts) / count
    chance = one * other + (1 - one) * (1 - other)
    seen = sum(a == b for a, b in verdicts) / count
    return None if math.isclose(chance, 1) else round((seen - chance) / (1 - chance), 4)


def _accuracy(answers: Answers) -> dict[str, Any]:
    verdicts = [correct for correct, _ in answers.values() if correct is not None]
    return _share(sum(verdicts), len(verdicts), "accuracy") | {"scored": len(verdicts)}


def _pair(one: Answers, other: Answers) -> dict[str, Any]:
    shared = sorted(one.keys() & other.keys())
    same = sum(one[number][1] == other[number][1] for number in shared)
    both = [(one[number][0], other[number][0]) for number in shared]
    verdicts = [(mine, theirs) for mine, theirs in both if mine is not None and theirs is not None]
    return {
        "scenarios": len(shared),
        "same_answer": round(same / len(shared), 4) if shared else None,
        "scored": len(verdicts),
        **_share(sum(mine == theirs for mine, theirs in verdicts), len(verdicts), "agreement"),
        "kappa": kappa(verdicts),
    }


def _share(right: int, count: int, name: str) -> dict[str, Any]:
    return {name: round(right / count, 4) if count else None, "interval": wilson(right, count)}


if __name__ == "__main__":
    json.dump(analyse(json.load(sys.stdin)), sys.stdout)
