"""RabbitMQ: confirms that overlap, queues that come back when they are deleted, hosts that stand in for each other."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import dramatiq
import pika
from dramatiq.broker import Consumer, MessageProxy

from actors.message_broker import BrokerAwayError, Hint, MessageBroker
from actors.rabbitmq_link import Link, parameters_of

_CONFIRM_SECONDS = 10.0
_MOST_TRIES = 3
_PERSISTENT = 2


class RabbitmqMessage(MessageProxy):
    """A message with its place in the connection that it came by.

    :param consumer: by whom it was received; only there its tag means anything.
    """

    def __init__(self, consumer: "RabbitmqConsumer", tag: int, body: bytes) -> None:
        super().__init__(dramatiq.Message.decode(body))
        self.consumer = consumer
        self.tag = tag
        self.is_settled = False


class RabbitmqConsumer(Consumer):
    """Receives the messages of one queue over a connection of its own.

    A message is acknowledged as soon as somebody has asked for its claim, so the prefetch bounds only what nobody works on.

    :raises BrokerAwayError: it cannot be had; its owner tries again a little later.
    """

    def __init__(self, hosts: Sequence[pika.URLParameters], queue_name: str, prefetch: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._arrived: deque[RabbitmqMessage] = deque()
        self._settled: deque[tuple[int, bool]] = deque()
        self._is_woken = False
        self._link = Link(hosts)
        try:
            self._link.declare(queue_name)
            self._link.ask(self._link.channel.basic_qos, prefetch_count=prefetch)
            self._link.channel.add_on_cancel_callback(self._note_deletion)
            self._link.ask(self._link.channel.basic_consume, queue=queue_name, on_message_callback=self._receive)
        except BrokerAwayError:
            self._link.close()
            raise

    def __next__(self) -> RabbitmqMessage | None:
        """Wait for the next message."""
        if not self._arrived:
            self._link.drive(lambda: bool(self._arrived), self._timeout_seconds)
        return self._arrived.popleft() if self._arrived else None

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge, some time soon; nothing depends on it."""
        self._settle(message, is_good=True)

    release = ack

    def nack(self, message: MessageProxy) -> None:
        """Send to the dead letters."""
        self._settle(message, is_good=False)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Do nothing: what is not acknowledged goes back when the connection is closed."""

    def close(self) -> None:
        """Close the connection."""
        with suppress(BrokerAwayError):
            self._write_settled()
        self._link.close()

    def _settle(self, message: MessageProxy, *, is_good: bool) -> None:
        # Of another connection it has come back, or will, as a duplicate that the fence refuses.
        if not isinstance(message, RabbitmqMessage) or message.consumer is not self or message.is_settled:
            return
        message.is_settled = True
        self._settled.append((message.tag, is_good))
        if not self._is_woken and self._link.lost is None:
            self._is_woken = True
            self._link.loop.add_callback_threadsafe(self._write_settled)

    def _write_settled(self) -> None:
        self._is_woken = False
        channel = self._link.channel
        while self._settled and channel.is_open:
            tag, is_good = self._settled.popleft()
            if is_good:
                channel.basic_ack(tag)
            else:
                channel.basic_nack(tag, requeue=False)

    def _receive(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        del channel, properties
        self._arrived.append(RabbitmqMessage(self, method.delivery_tag, body))
        self._link.loop.stop()

    def _note_deletion(self, frame: Any) -> None:
        del frame
        self._link.give_up(BrokerAwayError("the queue was deleted"))


class Publisher:
    """Publishes with confirms over one connection, for one thread at a time; the confirms of a batch are waited for together."""

    def __init__(self, hosts: Sequence[pika.URLParameters]) -> None:
        self._hosts = hosts
        self._link: Link | None = None
        self._declared: set[str] = set()
        self._tags = 0
        self._unconfirmed: dict[int, Hint] = {}
        self._left: list[Hint] = []

    def publish(self, messages: Sequence[Hint]) -> None:
        """Publish, and wait until all is confirmed.

        :raises BrokerAwayError: not all of it is.
        """
        try:
            link = self._link or self._open()
            link.drive(lambda: not messages, 0)  # heartbeats, and word of a connection that was lost meanwhile
            self._left = list(messages)
            tries = 0
            while self._left and tries < _MOST_TRIES:
                self._send(link)
                tries += 1
        except BrokerAwayError:
            self.close()
            raise
        except pika.exceptions.AMQPError as error:
            self.close()
            raise BrokerAwayError(str(error)) from error
        if self._left:
            raise BrokerAwayError("messages are returned or refused")

    def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _open(self) -> Link:
        link = self._link = Link(self._hosts)
        self._declared, self._tags, self._unconfirmed = set(), 0, {}
        link.channel.add_on_return_callback(self._note_return)
        link.ask(link.channel.confirm_delivery, ack_nack_callback=self._note_confirm)
        return link

    def _send(self, link: Link) -> None:
        batch, self._left = self._left, []
        for queue_name in {message.queue_name for message in batch} - self._declared:
            link.declare(queue_name)
            self._declared.add(queue_name)
        for message in batch:
            self._tags += 1
            self._unconfirmed[self._tags] = message
            properties = pika.BasicProperties(
                delivery_mode=_PERSISTENT, priority=message.options.get("broker_priority"), message_id=str(self._tags)
            )
            link.channel.basic_publish("", message.queue_name, message.encode(), properties, mandatory=True)
        if not link.drive(lambda: not self._unconfirmed, _CONFIRM_SECONDS):
            raise BrokerAwayError(f"no confirm within {_CONFIRM_SECONDS:g} s")

    def _note_confirm(self, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self._unconfirmed if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            message = self._unconfirmed.pop(tag, None)
            if message is not None and isinstance(method, pika.spec.Basic.Nack):
                self._left.append(message)
        if not self._unconfirmed and self._link is not None:
            self._link.loop.stop()

    def _note_return(self, channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        """Take back what found no queue: it was deleted, and is made anew."""
        del channel, method, body
        message = self._unconfirmed.get(int(properties.message_id or 0))
        if message is not None:
            self._declared.discard(message.queue_name)
            self._left.append(message)


class RabbitmqBroker(MessageBroker):
    """RabbitMQ as the broker.

    :param url: one or more hosts, as `actors.rabbitmq_link.parameters_of` reads them.
    :raises ValueError: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._hosts = parameters_of(url)
        self._publisher = Publisher(self._hosts)
        self._publishing = threading.Lock()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> RabbitmqConsumer:
        """Consume a queue, which is made if it is not there.

        :raises BrokerAwayError: the broker is away.
        """
        return RabbitmqConsumer(self._hosts, queue_name, max(1, prefetch // 2), timeout / 1000)

    def publish(self, messages: Sequence[Hint]) -> None:
        """Send messages and wait until they are confirmed.

        :raises BrokerAwayError: not all of them are.
        """
        with self._publishing:
            self._publisher.publish(messages)

    def check(self) -> None:
        """See whether one of the hosts can be used, and the queues be made.

        :raises BrokerAwayError: why not.
        """
        link = Link(self._hosts)
        try:
            for queue_name in self.queues:
                link.declare(queue_name)
        finally:
            link.close()

    def close(self) -> None:
        """Close the publisher's connection."""
        with self._publishing:
            self._publisher.close()
