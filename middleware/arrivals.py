"""Arrivals: messages are claimed as they come in, before a thread asks, so that one commit serves many of them."""

from collections.abc import Iterable

import dramatiq
import structlog
from dramatiq.broker import Consumer, MessageProxy

from middleware.lifecycle import Lifecycle
from persistence.errors import DatabaseUnavailableError
from persistence.ids import is_id

_MOST_DISPATCHES = 2**31

log = structlog.get_logger(__name__)


class Arrivals(Consumer):
    """A consumer around a broker's own: it refuses what is no hint, and asks for the claims of what is one.

    :param consumer: the broker's own. Where it has a method `release`, that is told once a message is of no further use.
    """

    def __init__(self, consumer: Consumer, queue_name: str, broker: dramatiq.Broker, lifecycle: Lifecycle) -> None:
        self._consumer = consumer
        self._queue_name = queue_name
        self._broker = broker
        self._lifecycle = lifecycle

    def __next__(self) -> MessageProxy | None:
        """Wait for the next message."""
        message = next(self._consumer)
        if message is None:
            return None
        # Dramatiq would keep a message with a time in memory until then; no delay of ours is the broker's.
        message.options.pop("eta", None)
        hint = hint_of(message)
        if hint is None or message.queue_name != self._queue_name or message.actor_name not in self._broker.actors:
            # Under the name of another queue it would end the thread that worked on it.
            log.warning("message.refused", queue=self._queue_name, actor=message.actor_name[:200])
            self._consumer.nack(message)
            return None
        self._ask(message, *hint)
        return message

    def _ask(self, message: MessageProxy, job_id: str, dispatch_no: int) -> None:
        """Ask for the claim, if there will soon be a thread for it; otherwise whichever thread gets the message does."""
        process = self._lifecycle.process
        message.arrived = True  # type: ignore[attr-defined]
        ahead = process.hand.arrive(message.actor_name)
        if ahead is None:
            return
        message.ahead = ahead  # type: ignore[attr-defined]
        try:
            message.claim = process.ledger.ask(job_id, dispatch_no, hold=process.hand.hold, ahead=ahead)  # type: ignore[attr-defined]
        except DatabaseUnavailableError:
            return
        release = getattr(self._consumer, "release", None)
        if release is not None:
            message.claim.add_done_callback(lambda _: release(message))

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message."""
        self._consumer.ack(message)

    def nack(self, message: MessageProxy) -> None:
        """Send a message to the dead letters."""
        self._consumer.nack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back."""
        self._consumer.requeue(messages)

    def close(self) -> None:
        """Close the broker's own consumer."""
        self._consumer.close()


def hint_of(message: MessageProxy) -> tuple[str, int] | None:
    """Read the job's id and the dispatch number of a message; None where it is no hint."""
    match message.args:
        case [str(job_id), int(dispatch_no)] if is_id(job_id) and 0 <= dispatch_no < _MOST_DISPATCHES:
            return job_id, dispatch_no
    return None
