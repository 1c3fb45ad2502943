"""Checkpoints: what an attempt commits before its outcome stays whatever becomes of it, and is refused once its claim is lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from actors.job import Cancelled, JobContext, Permanent, job
from persistence.statements import run
from tests import factories, waiting
from tests.integration.core.house import Gate, House


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """Give a house whose worker learns of cancellations only by what the database refuses."""
    house = House(database_url, heartbeat_seconds=20.0)
    yield house
    house.close()


def tiers(house: House) -> set[str]:
    """List the tiers: they stand for what a job writes."""
    return {row.name for row in house.select("SELECT name FROM tiers")}


def test_a_checkpoint_outlives_its_attempt(house: House) -> None:
    """What was written at a checkpoint is there at once, and stays although the attempt fails."""
    seen: list[Any] = []
    with house.declaring():

        @job("plays.checkpoint", payload=dict, time_limit_seconds=30)
        def play(context: JobContext, request: dict[str, Any]) -> None:
            del request
            seen.append(context.checkpoint(lambda session: factories.tier(session, "kept")))
            seen.append(context.read(lambda session: run(session, "SELECT 1 FROM tiers WHERE name = 'kept'").scalar_one()))
            context.commit_with(lambda session: factories.tier(session, "not-kept") and None)
            raise Permanent("no")

    house.open()
    house.until(house.submit(play), "failed")

    assert seen == ["kept", 1]
    assert "kept" in tiers(house)
    assert "not-kept" not in tiers(house)


def test_nothing_is_written_with_a_lost_claim(house: House) -> None:
    """A5: an attempt whose job was cancelled writes nothing any more, and is told so, before any beat has told its process."""
    gate, ends = Gate(), []
    with house.declaring():

        @job("plays.late", payload=dict, time_limit_seconds=30)
        def play(context: JobContext, request: dict[str, Any]) -> None:
            del request
            gate.wait()
            try:
                context.checkpoint(lambda session: factories.tier(session, "late"))
            except Cancelled:
                ends.append("cancelled")
                raise

    house.open()
    cancelled = house.submit(play)
    waiting.passed(gate.entered, "attempt")
    house.cancel(cancelled)
    gate.opened.set()
    house.until(cancelled, "cancelled")

    assert ends == ["cancelled"]
    assert "late" not in tiers(house)
