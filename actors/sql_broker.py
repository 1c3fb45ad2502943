"""The SQL broker: a Dramatiq broker without messages, for the jobs table is its queue."""

from collections.abc import Callable, Iterable

import dramatiq
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import QueueNotFound

from actors.message_broker import QueueNames
from middleware.attempt import Attempt
from middleware.hand import Hand


class SqlMessage(MessageProxy):
    """A claim in the form in which Dramatiq's worker passes work on."""

    def __init__(self, attempt: Attempt) -> None:
        claim = attempt.claim
        super().__init__(
            dramatiq.Message(
                queue_name=claim.queue,
                actor_name=claim.type,
                args=(),
                kwargs={},
                options={},
                message_id=claim.id,
                message_timestamp=0,
            )
        )
        self.attempt = attempt


class SqlConsumer(Consumer):
    """Passes on the claims that the ledger delivers for one queue; there is nothing to acknowledge."""

    def __init__(self, hand: Hand, queue_name: str, timeout_seconds: float) -> None:
        self._hand = hand
        self._queue_name = queue_name
        self._timeout_seconds = timeout_seconds

    def __next__(self) -> SqlMessage | None:
        """Wait for the next claim."""
        attempt = self._hand.next(self._queue_name, self._timeout_seconds)
        return None if attempt is None else SqlMessage(attempt)

    def ack(self, message: MessageProxy) -> None:
        """Do nothing: the outcome is in the database."""

    def nack(self, message: MessageProxy) -> None:
        """Do nothing: the outcome is in the database."""

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Do nothing: what was not begun has been handed back when the shutdown began."""


class SqlBroker(QueueNames):
    """Consumes the jobs table itself.

    :param hand: finds the claims of the running worker.
    :param wake: tells the running worker that there may be work.
    """

    def __init__(self, hand: Callable[[], Hand], wake: Callable[[], None]) -> None:
        super().__init__()
        self._hand = hand
        self._wake = wake

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> SqlConsumer:
        """Consume a queue; how much is claimed ahead is the hand's business and not a prefetch.

        :raises QueueNotFound: it was never declared.
        """
        del prefetch
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        hand = self._hand()
        hand.open(queue_name)
        self._wake()  # the ledger has looked before there was anybody to take the work, and would look again a little later
        return SqlConsumer(hand, queue_name, timeout / 1000)

    def enqueue(self, message: "dramatiq.Message[object]", *, delay: int | None = None) -> "dramatiq.Message[object]":
        """Wake the worker: the job itself is in the table already."""
        del delay
        self.emit_before("enqueue", message, None)
        self._wake()
        self.emit_after("enqueue", message, None)
        return message
