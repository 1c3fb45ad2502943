"""Retry policies: when a failed attempt is tried again, and what an actor may ask for."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware.errors import Snooze
from middleware.outcomes import RetryPolicy
from middleware.text import storable

waits = st.lists(st.floats(0, 1e6), min_size=1, max_size=6)


@given(backoff=waits, attempt=st.integers(1, 50))
def test_the_waits_come_in_their_order_and_the_last_repeats(backoff: list[float], attempt: int) -> None:
    """The n-th failure waits for the n-th time, and every one beyond the list for the last."""
    wait = RetryPolicy(tuple(backoff)).wait_seconds(attempt)
    assert wait == (backoff[attempt - 1] if attempt <= len(backoff) else backoff[-1])


@given(backoff=waits.map(sorted))
def test_waits_that_grow_in_the_list_never_shrink(backoff: list[float]) -> None:
    """A policy that is written down rising, rises."""
    policy = RetryPolicy(backoff)
    taken = [policy.wait_seconds(attempt) for attempt in range(1, 12)]
    assert taken == sorted(taken)


def test_the_shipped_waits() -> None:
    """1, 5 and 30 seconds."""
    policy = RetryPolicy((1, 5, 30))
    assert [policy.wait_seconds(attempt) for attempt in (1, 2, 3, 4)] == [1, 5, 30, 30]


@pytest.mark.parametrize("until", [math.inf, math.nan, 1e12, datetime(2030, 1, 1)])  # noqa: DTZ001 - the point of it
def test_a_snooze_that_makes_no_sense(until: float | datetime) -> None:
    """A wait that no database can store, or a moment without its zone, is the author's error at once."""
    with pytest.raises(ValueError, match="until needs"):
        Snooze(until)


@pytest.mark.parametrize("until", [0, 0.5, 86_400, -1, datetime(2030, 1, 1, tzinfo=UTC)])
def test_a_snooze_that_does(until: float | datetime) -> None:
    """Seconds or a moment."""
    assert Snooze(until).until == until


@given(text=st.text(st.characters(exclude_categories=[])))
def test_storable_text_is_storable(text: str) -> None:
    """Whatever an error says can be stored, and what could be stored stays as it is."""
    stored = storable(text)
    assert "\x00" not in stored
    stored.encode()
    assert storable(stored) == stored
