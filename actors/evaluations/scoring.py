"""Scores: how near an answer comes to the one that was expected, as question answering is commonly measured."""

import unicodedata
from collections import Counter


def score(answer: str, expected: str) -> float:
    """Compare words, whatever their case and what stands between them.

    :returns: 1.0 where the expected words stand in the answer in a row; else the F1 measure of the words in common, below 1.
    """
    said, wanted = words(answer), words(expected)
    if not wanted:  # nothing but signs, as in "42%" or "π ≈": then those count
        return float(expected.strip() in answer)
    if any(said[start : start + len(wanted)] == wanted for start in range(len(said) - len(wanted) + 1)):
        return 1.0
    common = (Counter(said) & Counter(wanted)).total()
    # All the right words in the wrong order are not right.
    return min(0.99, round(2 * common / (len(said) + len(wanted)), 4))


def words(text: str) -> list[str]:
    """Take a text apart into words of letters and digits, in one form and case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign if sign.isalnum() else " " for sign in folded).split()
