"""Redis: a list a queue. What a consumer has taken is gone from it: the database is the truth, and a lost hint is sent again."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import dramatiq
import redis
from dramatiq.broker import Consumer, MessageProxy
from redis.backoff import NoBackoff
from redis.retry import Retry

from actors.message_broker import BrokerAwayError, Hint, MessageBroker, place_of
from middleware.hand import Hand

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_MOST_DEAD = 10_000


class RedisMessage(MessageProxy):
    """A message and the bytes that it was made of."""

    def __init__(self, body: bytes) -> None:
        super().__init__(dramatiq.Message.decode(body))
        self.body = body


class RedisConsumer(Consumer):
    """Takes the messages of one queue, as many as can be worked on, so that those of a busy process are left to others.

    :param hand: says how many that are.
    """

    def __init__(self, client: "redis.Redis", key: str, timeout_seconds: float, hand: Hand) -> None:
        self._client = client
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._hand = hand
        self._arrived: deque[bytes] = deque()

    def __next__(self) -> RedisMessage | None:
        """Wait for the next message."""
        if not self._arrived:
            room = self._hand.room(self._timeout_seconds)
            if not room:
                return None
            with _said_as_dramatiq_does():
                found: Any = self._client.blpop([self._key], timeout=self._timeout_seconds)
                if found is None:
                    return None
                more: Any = self._client.lpop(self._key, room - 1) if room > 1 else None
                self._arrived.extend([found[1], *(more or ())])
        return RedisMessage(self._arrived.popleft())

    def ack(self, message: MessageProxy) -> None:
        """Do nothing: it is no longer there."""

    def nack(self, message: MessageProxy) -> None:
        """Put a message among the dead letters, of which the oldest go when there are many."""
        if isinstance(message, RedisMessage):
            with _said_as_dramatiq_does(), self._client.pipeline() as pipeline:
                pipeline.rpush(f"{self._key}.XQ", message.body)
                pipeline.ltrim(f"{self._key}.XQ", -_MOST_DEAD, -1)
                pipeline.execute()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Put messages back in front of all others."""
        self._give_back([message.body for message in messages if isinstance(message, RedisMessage)])

    def close(self) -> None:
        """Put back what nobody has seen."""
        bodies = list(self._arrived)
        self._arrived.clear()
        self._give_back(bodies)

    def _give_back(self, bodies: Sequence[bytes]) -> None:
        if bodies:
            with _said_as_dramatiq_does():
                self._client.lpush(self._key, *reversed(bodies))


class RedisBroker(MessageBroker):
    """Redis as the broker.

    :param url: `redis://:password@host:port/database`, or `rediss://` for TLS.
    :param hand: finds what the running worker has in hand.
    :raises ValueError: the URL cannot be read.
    """

    def __init__(self, url: str, hand: Callable[[], Hand]) -> None:
        super().__init__()
        self._hand = hand
        place_of(url)
        # A connection may have been closed while it was idle: one try more tells.
        self._connect = partial(redis.Redis.from_url, url, socket_connect_timeout=_CONNECT_SECONDS, socket_keepalive=True)
        self._client = self._connect(socket_timeout=_ANSWER_SECONDS, retry=Retry(NoBackoff(), 1))
        try:
            self._connect().connection_pool.make_connection()  # which connects to nothing yet
        except TypeError as error:
            raise ValueError("an option that does not exist") from error

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> RedisConsumer:
        """Consume a queue; how much is taken at a time is a matter of room and not of a prefetch."""
        del prefetch
        return RedisConsumer(self._client, _key(queue_name), min(timeout / 1000, _ANSWER_SECONDS / 2), self._hand())

    def publish(self, messages: Sequence[Hint]) -> None:
        """Send messages.

        :raises BrokerAwayError: Redis is away, or refuses them.
        """
        bodies: dict[str, list[bytes]] = {}
        for message in messages:
            bodies.setdefault(_key(message.queue_name), []).append(message.encode())
        with _said_as_dramatiq_does(), self._client.pipeline(transaction=False) as pipeline:
            for key, waiting in bodies.items():
                pipeline.rpush(key, *waiting)
            pipeline.execute()

    def check(self) -> None:
        """See whether Redis lets itself be used.

        :raises BrokerAwayError: why not.
        """
        with _said_as_dramatiq_does(), self._connect(socket_timeout=_CONNECT_SECONDS, retry=None) as client:
            client.ping()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def _key(queue_name: str) -> str:
    return f"greenroom:{queue_name}"


@contextmanager
def _said_as_dramatiq_does() -> Iterator[None]:
    """Turn errors of Redis into the one after which Dramatiq makes a new consumer."""
    try:
        yield
    except redis.AuthenticationError as error:
        raise BrokerAwayError("the user or the password is refused") from error
    except (redis.RedisError, OSError) as error:
        raise BrokerAwayError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
