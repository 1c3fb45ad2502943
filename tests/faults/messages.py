"""The brokers from outside: what lies in their queues, put there and taken away without asking Greenroom."""

from collections.abc import Sequence
from contextlib import closing

import pika
import redis

QUEUES = ("default", "documents")


def empty(kind: str, url: str) -> None:
    """Delete all queues."""
    if kind == "redis":
        with redis.Redis.from_url(url) as client:
            client.flushall()
        return
    delete_queues(url)


def delete_queues(url: str) -> None:
    """Delete RabbitMQ's queues, whoever consumes them."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        for name in QUEUES:
            channel.queue_delete(queue=name)
            channel.queue_delete(queue=f"{name}.XQ")


def put(kind: str, url: str, queue: str, bodies: Sequence[bytes]) -> None:
    """Put bodies of any kind into a queue that is there."""
    if kind == "redis":
        with redis.Redis.from_url(url) as client:
            client.rpush(f"greenroom:{queue}", *bodies)
        return
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish("", queue, body)


class Snapshot:
    """What Redis holds at a moment, to be put back later."""

    def __init__(self, url: str) -> None:
        self._url = url
        with redis.Redis.from_url(url) as client:
            self._lists = {key: client.lrange(key, 0, -1) for key in client.scan_iter() if client.type(key) == b"list"}
        self.messages = [body for key, bodies in self._lists.items() if not key.endswith(b".XQ") for body in bodies]

    def restore(self) -> None:
        """Forget what is there and put back what was."""
        with redis.Redis.from_url(self._url) as client:
            client.flushall()
            for key, bodies in self._lists.items():
                if bodies:
                    client.rpush(key, *bodies)
