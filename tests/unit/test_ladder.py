"""The ladder of services that the tests climb."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ladder import RUNG_VARIABLE, UnavailableError, first


@contextmanager
def holds() -> Iterator[str]:
    """Hold."""
    yield "url"


@contextmanager
def breaks() -> Iterator[str]:
    """Not hold."""
    raise UnavailableError("rotten")
    yield


def test_the_first_rung_that_holds_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rungs that do not hold are passed over, and those after the first that does are not tried."""
    monkeypatch.delenv(RUNG_VARIABLE, raising=False)
    with first({"one": breaks, "two": holds, "three": breaks}) as found:
        assert found == ("two", "url")


def test_a_rung_that_was_asked_for_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one rung is asked for, no other one stands in for it, and the message says so."""
    monkeypatch.setenv(RUNG_VARIABLE, "one")
    with pytest.raises(UnavailableError, match=f"one: rotten; two: {RUNG_VARIABLE} is one"), first({"one": breaks, "two": holds}):
        pass


def test_without_any_all_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no rung holds, each one's reason is told."""
    monkeypatch.delenv(RUNG_VARIABLE, raising=False)
    with pytest.raises(UnavailableError, match="one: rotten; two: rotten"), first({"one": breaks, "two": breaks}):
        pass
