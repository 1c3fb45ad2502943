"""Scores: right is right whatever the case and the signs around it, and what is near gets a part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.evaluations.scoring import score, words


@pytest.mark.parametrize(
    ("answer", "expected", "wanted"),
    [
        ("Paris", "Paris", 1.0),
        ("It is PARIS, of course.", "paris", 1.0),
        ("New   York\n(City)", "new york", 1.0),
        ("Parisian", "Paris", 0.0),
        ("York New", "New York", 0.99),
        ("New Orleans", "New York", 0.5),
        ("", "Paris", 0.0),
        ("...", "Paris", 0.0),
        ("the sign is ≈", "≈", 1.0),
        ("there is none", "≈", 0.0),
        ("STRASSE", "Straße", 1.0),
        ("4", "42", 0.0),
    ],
)
def test_known_scores(answer: str, expected: str, wanted: float) -> None:
    """These are what they are by hand."""
    assert score(answer, expected) == wanted


@given(st.text(), st.text(min_size=1))
def test_bounds(answer: str, expected: str) -> None:
    """A score lies between 0 and 1, and is 1 for the expected words among others."""
    assert 0 <= score(answer, expected) <= 1
    if words(expected):
        assert score(f"{answer} {expected} {answer}", expected) == 1
