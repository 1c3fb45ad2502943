"""The choice of a broker: what the setting names, and whether it is there."""

import importlib
import re
from collections.abc import Callable, Sequence

import dramatiq
from dramatiq.broker import Broker

from actors.hints import HintEncoder
from actors.message_broker import BrokerAwayError, Hint, MessageBroker
from middleware.hand import Hand
from persistence.environment import SettingsError

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = "GREENROOM_BROKER_URL"


def make_broker(url: str, hand: Callable[[], Hand]) -> Broker:
    """Make the broker that a URL names, without connecting to it.

    :param hand: finds what the running worker has in hand.
    :raises SettingsError: there is no such broker; the message does not show the URL.
    """
    dramatiq.set_encoder(HintEncoder())
    scheme = url.partition("://")[0] if "://" in url else ""
    try:
        match scheme:
            case "amqp" | "amqps":
                from actors.rabbitmq_broker import RabbitmqBroker

                return RabbitmqBroker(url, hand)
            case "redis" | "rediss":
                from actors.redis_broker import RedisBroker

                return RedisBroker(url, hand)
            case "stub":
                from dramatiq.brokers.stub import StubBroker

                return StubBroker(middleware=[])
    except ValueError as error:
        form = f"{scheme}://user:password@host:port/name, with %40 for an @ and %2F for a / in a password"
        raise SettingsError(f"{_NAME}: cannot be read; it needs to be {form}") from error
    if not _FACTORY.fullmatch(url):
        raise SettingsError(f"{_NAME}: needs to start with amqp://, redis:// or stub://, or to be module:factory")
    return _made_by(url)


def check(broker: Broker) -> None:
    """See whether a broker can be used, where it can be asked.

    :raises SettingsError: it cannot.
    """
    if isinstance(broker, MessageBroker):
        try:
            broker.check()
        except BrokerAwayError as error:
            raise SettingsError(f"{_NAME}: the broker cannot be used: {error}") from error


def publish(broker: Broker, messages: Sequence[Hint]) -> None:
    """Send messages over any broker.

    :raises BrokerAwayError: the broker is away; a broker of another kind may raise what it likes.
    """
    if isinstance(broker, MessageBroker):
        broker.publish(messages)
        return
    for message in messages:
        broker.enqueue(message)


def _made_by(name: str) -> Broker:
    module, _, factory = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{_NAME}: {name} cannot be used: {error}") from error
    if not isinstance(made, Broker):
        raise SettingsError(f"{_NAME}: {name} does not make a Dramatiq broker")
    return made
