"""S43: a message is a hint in JSON; a pickled body goes to the broker's dead letters, and nothing in it is run."""

import os
import pickle
from pathlib import Path

import pytest

from actors.hints import GARBAGE
from actors.job import JobContext, job
from tests.integration.core.house import House
from tests.waiting import until


class _Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self._command,)


def test_a_pickled_body_is_buried_and_the_consumer_goes_on(database_url: str, tmp_path: Path) -> None:
    """A pickle that would touch a file does not; it lands in the dead letters, and the next job is done at once."""
    canary = tmp_path / "canary"
    house = House(database_url, broker="stub")
    with house.declaring():

        @job("tests.echo")
        def echo(context: JobContext, payload: dict[str, str]) -> dict[str, str]:
            return payload

    house.open()
    try:
        broker = house.installation.broker
        broker.queues["default"].put(pickle.dumps(_Bomb(f"touch {canary}")))

        (buried,) = until(lambda: broker.dead_letters, "dead letter")  # type: ignore[attr-defined]

        assert buried.actor_name == GARBAGE
        house.until(house.submit(echo, {"still": "here"}), "completed")
        assert not canary.exists()
    finally:
        house.close()


@pytest.mark.parametrize("body", [b"", b"\x80\x04", b"null", b"[]", b"{}", b'{"args": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_no_body_ends_the_consumer(body: bytes) -> None:
    """Whatever bytes come, reading them gives an envelope that no actor performs."""
    from actors.hints import HintEncoder

    assert HintEncoder().decode(body)["actor_name"] == GARBAGE
