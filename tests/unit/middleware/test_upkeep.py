"""Upkeep: pieces keep to their time, rounds to theirs, and what is left goes on with the next sweep."""

import threading
from pathlib import Path

import pytest

from middleware import upkeep
from middleware.settings import WorkerSettings
from middleware.upkeep import Pieces, Upkeep
from persistence.database import Database, Session
from persistence.settings import DatabaseSettings


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """An empty database, for steps that do not look into it."""
    return Database(DatabaseSettings(), url=f"sqlite:///{tmp_path / 'greenroom.db'}")


class Work:
    """A step with so much to do, for whose jobs a clock of its own goes on.

    :param seconds_each: what one job takes.
    """

    def __init__(self, left: int, seconds_each: float = 0.0) -> None:
        self.left = left
        self.seconds_each = seconds_each
        self.now = 0.0
        self.sizes: list[int] = []

    def __call__(self, session: Session, *, older_than_seconds: float, most: int) -> int:
        """Do up to so many jobs."""
        del session, older_than_seconds
        done = min(most, self.left)
        self.left -= done
        self.sizes.append(done)
        self.now += done * self.seconds_each
        return done


@pytest.mark.parametrize("seconds_each", [0.002, 0.0004, 0.00005])
def test_d14_pieces_become_as_large_as_their_time_allows(database: Database, seconds_each: float) -> None:
    """On a slow machine and a quick one: after few pieces none takes longer than a tenth of what a writer may wait."""
    work = Work(100_000, seconds_each)
    pieces = Pieces(work, older_than_seconds=1.0, clock=lambda: work.now)
    took = [pieces.do_one(database)[1] for _ in range(20)]
    assert max(took[2:]) <= 0.0101
    assert sum(work.sizes[-5:]) >= 5 * min(1_000, 0.003 / seconds_each)


def test_d14_a_round_is_begun_when_it_is_due(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each sweep, but until nothing is left; a large backlog lets the sweeper do its other work in between."""
    first, second = Work(400), Work(0)
    now = [1000.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])
    kept = Upkeep(WorkerSettings(upkeep_seconds=30.0), database=database, closed=threading.Event())
    monkeypatch.setattr(kept, "_steps", [Pieces(first, older_than_seconds=1.0), Pieces(second, older_than_seconds=1.0)])
    monkeypatch.setattr(kept, "_left", list(kept._steps))
    kept.go_on()
    assert (sum(first.sizes), first.sizes[-1], second.sizes) == (400, 0, [0])

    first.left = 10
    now[0] += 29
    kept.go_on()
    assert first.left == 10
    now[0] += 1
    kept.go_on()
    assert first.left == 0


def test_an_end_does_not_wait_for_the_round(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stops begins no further piece."""
    work, closed = Work(1_000_000), threading.Event()
    kept = Upkeep(WorkerSettings(), database=database, closed=closed)
    monkeypatch.setattr(kept, "_left", [Pieces(work, older_than_seconds=1.0)])
    closed.set()
    kept.go_on()
    assert work.sizes == []
