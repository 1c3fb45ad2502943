"""What our brokers have in common: queues are names, hints go out in batches, and no delay is ever the broker's."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import dramatiq
from dramatiq.broker import Broker
from dramatiq.errors import ConnectionClosed

Hint: TypeAlias = "dramatiq.Message[object]"


class BrokerAwayError(ConnectionClosed):
    """The broker cannot be used at the moment; Dramatiq makes a new consumer a little later.

    :param reason: one line, without the password.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)  # type: ignore[no-untyped-call]


def place_of(url: str) -> SplitResult:
    """Take a broker's URL apart.

    :raises ValueError: its password ends early, and what is left of it would be taken, and shown, for something else.
    """
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("an @ behind the host")
    return parts


class QueueNames(Broker):
    """What every broker of ours knows of a queue: its name."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self.queues: dict[str, None] = {}

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; it is made where it is used. There is no delay queue, and no thread that would consume it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)


class MessageBroker(QueueNames):
    """A broker that sends and receives hints, and can be asked at the start whether it is there."""

    def enqueue(self, message: Hint, *, delay: int | None = None) -> Hint:
        """Send one message.

        :raises ValueError: it is to be delayed.
        :raises BrokerAwayError: the broker is away.
        """
        if delay is not None:
            raise ValueError("delays are kept in the database and not in a broker")
        self.emit_before("enqueue", message, None)
        self.publish([message])
        self.emit_after("enqueue", message, None)
        return message

    @abstractmethod
    def publish(self, messages: Sequence[Hint]) -> None:
        """Send messages and wait until the broker has them; with none, see to it that the connection is ready for the next.

        :raises BrokerAwayError: the broker is away; some of the messages may have been sent.
        """

    @abstractmethod
    def check(self) -> None:
        """See whether the broker can be used at all.

        :raises BrokerAwayError: it cannot; the message is one line without the password.
        """
