"""What the tests do to a broker behind the back of those who use it, alike for every kind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pika
import redis
from dramatiq.brokers.stub import StubBroker

from actors.redis_broker import RedisBroker
from tests import rabbitmq
from tests.keeping import Server


class Wire:
    """A broker's other end.

    :param url: the setting.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, broker: Any, queue: str, body: bytes) -> None:
        """Put a body into a queue."""
        raise NotImplementedError

    def dead(self, broker: Any, queue: str) -> int:
        """Count a queue's dead letters."""
        raise NotImplementedError

    def cut(self, broker: Any) -> None:
        """Close every connection from the server's side."""

    def delete(self, broker: Any, queue: str) -> None:
        """Delete a queue, whoever consumes it."""
        raise NotImplementedError

    def thief(self, broker: Any, queue: str) -> Any:
        """Make a consumer that takes what it can get and claims nothing."""
        return type(broker).consume(broker, queue, 50, 200)


class StubWire(Wire):
    """The stub broker, which has neither connections nor a server."""

    def put(self, broker: StubBroker, queue: str, body: bytes) -> None:
        """Put a body into a queue."""
        broker.queues[queue].put(body)

    def dead(self, broker: StubBroker, queue: str) -> int:
        """Count a queue's dead letters."""
        return len(broker.dead_letters_by_queue[queue])

    def delete(self, broker: StubBroker, queue: str) -> None:
        """Empty the queue, for that is all that can be done to it."""
        broker.flush(queue)


class RabbitmqWire(Wire):
    """RabbitMQ."""

    def put(self, broker: Any, queue: str, body: bytes) -> None:
        """Put a body into a queue."""
        with self._channel() as channel:
            channel.basic_publish("", queue, body)

    def dead(self, broker: Any, queue: str) -> int:
        """Count a queue's dead letters."""
        with self._channel() as channel:
            return channel.queue_declare(f"{queue}.XQ", passive=True).method.message_count

    def delete(self, broker: Any, queue: str) -> None:
        """Delete a queue and its dead letters."""
        with self._channel() as channel:
            channel.queue_delete(queue)
            channel.queue_delete(f"{queue}.XQ")

    def take(self, queue: str) -> list[bytes]:
        """Take all that waits in a queue, in the server's order."""
        with self._channel() as channel:
            return list(iter(lambda: channel.basic_get(queue, auto_ack=True)[2], None))

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            connection.close()


class KeptRabbitmqWire(RabbitmqWire):
    """RabbitMQ on a server of the tests' own."""

    def __init__(self, server: rabbitmq.Rabbit) -> None:
        super().__init__(server.url)
        self.server = server

    def cut(self, broker: Any) -> None:
        """Close every connection from the server's side."""
        self.server.control("close_all_connections", "for a test")

    def wipe(self) -> None:
        """Forget all that the server has."""
        self.server.wipe()


class RedisWire(Wire):
    """Redis."""

    def put(self, broker: Any, queue: str, body: bytes) -> None:
        """Put a body into a queue."""
        with self._client() as client:
            client.rpush(f"greenroom:{queue}", body)

    def dead(self, broker: Any, queue: str) -> int:
        """Count a queue's dead letters."""
        with self._client() as client:
            return client.llen(f"greenroom:{queue}.XQ")

    def cut(self, broker: Any) -> None:
        """Close every connection from the server's side."""
        with self._client() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def delete(self, broker: Any, queue: str) -> None:
        """Delete a queue and its dead letters."""
        with self._client() as client:
            client.delete(f"greenroom:{queue}", f"greenroom:{queue}.XQ")

    def thief(self, broker: Any, queue: str) -> Any:
        """Make a consumer that takes what it can get and claims nothing."""
        return RedisBroker(self.url, lambda: SimpleNamespace(room=lambda _: 50)).consume(queue, timeout=200)

    def wipe(self) -> None:
        """Forget all that the server has."""
        with self._client() as client:
            client.flushall()

    def _client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=10)


class KeptRedisWire(RedisWire):
    """Redis on a server of the tests' own."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.url)
        self.server = server


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread, again and again, while the block runs."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            with suppress(Exception):
                act()
            is_over.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def made_by_hand() -> StubBroker:
    """Make a broker, as the factory that a setting names."""
    return StubBroker(middleware=[])
