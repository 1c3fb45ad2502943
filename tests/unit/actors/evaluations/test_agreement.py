"""Agreement and intervals, against figures that were worked out elsewhere."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.evaluations import agreement
from actors.evaluations.agreement import analyse, kappa, wilson


def answer(model: str, scenario: int, correct: bool | None, same: str = "") -> dict[str, Any]:
    """Make an answer."""
    return {"model": model, "scenario": scenario, "correct": correct, "same": same or str(correct)}


@pytest.mark.parametrize(
    ("right", "count", "interval"),
    [
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (81, 263, (0.2553, 0.3662)),  # Newcombe (1998), table I
        (15, 148, (0.0624, 0.1605)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson(right: int, count: int, interval: tuple[float, float]) -> None:
    """The intervals are those that the literature gives."""
    assert wilson(right, count) == pytest.approx(interval, abs=0.0001)
    assert wilson(0, 0) is None


@given(st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_interval_holds_its_share(counted: tuple[int, int]) -> None:
    """A share lies in its interval, and that within 0 and 1."""
    right, count = counted
    interval = wilson(right, count)
    assert interval is not None
    assert 0 <= interval[0] - 1e-4 <= right / count <= interval[1] + 1e-4 <= 1.0001 or interval[0] == 0


def test_kappa() -> None:
    """Cohen's own kind of table: 20 times both yes, 15 both no, 5 and 10 otherwise, is 0.4."""
    verdicts = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert kappa(verdicts) == 0.4
    assert kappa([(True, True)] * 5) is None
    assert kappa([]) is None
    assert kappa([(True, False), (False, True)]) == -1.0


def test_pairs() -> None:
    """Two models are compared over what both have answered; what has no expectation counts for equal answers only."""
    answers = [
        *(answer("a", number, number < 3) for number in range(4)),
        *(answer("b", number, number < 2) for number in range(3)),
        answer("a", 9, None, "hello"),
        answer("b", 9, None, "hello"),
    ]
    found = analyse(answers)
    assert [(one["model"], one["accuracy"], one["scored"]) for one in found["models"]] == [("a", 0.75, 4), ("b", 0.6667, 3)]
    (pair,) = found["pairs"]
    assert (pair["models"], pair["scenarios"], pair["scored"]) == (["a", "b"], 4, 3)
    assert (pair["same_answer"], pair["agreement"]) == (0.75, 0.6667)


def test_nothing_in_common() -> None:
    """Models without a common scenario, and no answers at all, are no error."""
    (pair,) = analyse([answer("a", 1, True), answer("b", 2, None)])["pairs"]
    assert (pair["scenarios"], pair["agreement"], pair["interval"], pair["kappa"]) == (0, None, None, None)
    assert analyse([]) == {"confidence": 0.95, "models": [], "pairs": []}


def test_as_a_command() -> None:
    """Run by its path it knows nothing but the standard library."""
    assert agreement.__file__
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", agreement.__file__],
        input=json.dumps([answer("a", 1, True)]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["models"][0]["accuracy"] == 1.0
