"""A house whose jobs are on a queue of its own, and the record of what was played."""

import itertools
import os
import threading
from contextlib import suppress
from typing import Any

import dramatiq
import msgspec

from actors.job import JobContext, job
from tests import waiting
from tests.integration.brokers.wires import Wire
from tests.integration.core.house import Gate, House

PATIENCE_SECONDS = 60.0
_numbers = itertools.count(1)


class Number(msgspec.Struct, forbid_unknown_fields=True):
    """A payload."""

    number: int = 0


class Theatre:
    """One worker in this process on any broker.

    :param url: the database's.
    :param wire: the other end of the broker; None for the SQL broker.
    """

    def __init__(self, url: str, wire: Wire | None, **settings: Any) -> None:
        self.wire = wire
        number = next(_numbers)
        self.queue = settings.pop("queue", f"theatre-{os.getpid()}-{number}")
        self.house = House(url, broker="sql" if wire is None else wire.url, user=f"user-{number}", **settings)
        self.played: list[int] = []
        self.gate = Gate()
        self._lock = threading.Lock()
        with self.house.declaring():
            self.notes = job("theatre.notes", payload=Number, queue=self.queue, time_limit_seconds=60)(self._notes)
            self.waits = job("theatre.waits", payload=Number, queue=self.queue, time_limit_seconds=60)(self._waits)

    def _notes(self, context: JobContext, request: Number) -> int:
        with self._lock:
            self.played.append(request.number)
        return request.number

    def _waits(self, context: JobContext, request: Number) -> int:
        self.gate.wait(context.check)
        return self._notes(context, request)

    def open(self, threads: int = 2) -> None:
        """Start the worker."""
        self.house.open(threads)

    def close(self) -> None:
        """Stop the worker and what belongs to its broker."""
        self.gate.opened.set()
        self.house.shut()
        broker = self.broker
        broker.close()
        if self.wire is not None:
            with suppress(Exception):
                self.wire.delete(broker, self.queue)

    @property
    def broker(self) -> dramatiq.Broker:
        """The worker's broker."""
        return self.house.installation.broker

    def submit(self, *numbers: int, actor: Any = None, **words: Any) -> list[str]:
        """Submit a job for each number."""
        return [self.house.submit(actor or self.notes, {"number": number}, **words) for number in numbers]

    def all_completed(self, jobs: list[str]) -> None:
        """Wait until all of these jobs are completed, and see to it that none has taken more than one attempt."""
        left = list(jobs)

        def look() -> bool:
            while left and self.house.status(left[-1]) == "completed":
                left.pop()
            return not left

        waiting.until(look, f"completion of {left[-3:]}", seconds=PATIENCE_SECONDS)

    def sent(self, job: str) -> Any:
        """Wait until a job is or has been dispatched, and give its row."""

        def look() -> Any:
            row = self.house.row(job)
            return row if row.dispatch_no else None

        return waiting.until(look, "dispatch", seconds=PATIENCE_SECONDS)

    def hint(self, row: Any, actor: Any = None, queue: str | None = None) -> "dramatiq.Message[object]":
        """Make the message of a job's row."""
        return dramatiq.Message(
            queue_name=queue or self.queue,
            actor_name=(actor or self.notes).actor_name,
            args=(str(row.id), row.dispatch_no),
            kwargs={},
            options={},
        )
