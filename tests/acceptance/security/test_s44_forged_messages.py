"""S44: a message gives no right to anything; without a claim in the database nothing runs."""

from typing import Any

import dramatiq

from actors.job import JobContext, job
from persistence.ids import new_id
from tests.integration.core.house import House
from tests.waiting import until


def test_forged_messages_run_nothing(database_url: str) -> None:
    """Messages with a made-up job, another dispatch number or a finished job run no function."""
    ran: list[str] = []
    house = House(database_url, broker="stub")
    with house.declaring():

        @job("tests.note")
        def note(context: JobContext, payload: dict[str, str]) -> None:
            ran.append(context.id)

    house.open()
    try:
        done = house.submit(note, {})
        house.until(done, "completed")
        forged: list[tuple[Any, ...]] = [
            (new_id(), 1),
            (done, 1),
            (done, 2),
            (done, -1),
            ("x' OR 1=1 --", 1),
        ]
        broker = house.installation.broker
        for args in forged:
            broker.enqueue(dramatiq.Message(queue_name="default", actor_name="tests.note", args=args, kwargs={}, options={}))

        until(lambda: broker.queues["default"].unfinished_tasks == 0, "end of the messages")

        assert ran == [done]
        assert house.history(done) == [("queued", 0, None), ("processing", 1, None), ("completed", 1, None)]
    finally:
        house.close()
