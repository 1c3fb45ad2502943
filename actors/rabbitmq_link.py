"""A link to RabbitMQ: one connection and one channel, run by the thread that uses them and by no thread of their own."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from actors.message_broker import BrokerAwayError, place_of

MOST_PRIORITY = 10
_CONNECT_SECONDS = 5.0
_OPEN_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_GONE_SECONDS = 15_000
_DEAD_LETTERS_KEPT_MILLISECONDS = 7 * 86_400_000

# What it says of a lost connection is said again here, once and in one line.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def parameters_of(url: str) -> list[pika.URLParameters]:
    """Read the hosts of a URL, or of several with commas or semicolons between them.

    :param url: `amqp://user:password@host1,host2:5673/vhost`, or whole URLs in a row; `amqps://` for TLS.
    :raises ValueError: it cannot be read.
    """
    hosts = []
    for whole in re.split(r"[,;](?=amqps?://)", url):
        scheme, _, rest = whole.partition("://")
        place, slash, path = rest.partition("/")
        user, at, names = place.rpartition("@")
        hosts += [_parameters(f"{scheme}://{user}{at}{name}{slash}{path}") for name in re.split(r"[,;]", names)]
    return hosts


def _parameters(url: str) -> pika.URLParameters:
    if not place_of(url).hostname:
        raise ValueError("no host")
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = _CONNECT_SECONDS
    parameters.stack_timeout = _OPEN_SECONDS
    # A peer that is gone without a word is noticed in the middle of writing and while waiting.
    parameters.tcp_options = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": _GONE_SECONDS}
    return parameters


class Link:
    """An open connection with a channel; once closed, for whatever reason, it stays closed.

    :param hosts: tried in this order, until one answers.
    :raises BrokerAwayError: none does.
    """

    def __init__(self, hosts: Sequence[pika.URLParameters]) -> None:
        self.lost: BaseException | None = None
        self._is_closed = False
        self._connection, self.channel = self._open(hosts)

    def _open(self, hosts: Sequence[pika.URLParameters]) -> tuple[pika.SelectConnection, Channel]:
        reasons = []
        for host in hosts:
            self.lost = None
            self.loop = IOLoop()  # one each, so that nothing of a host that was given up is heard any more
            opened: list[Channel] = []
            connection = pika.SelectConnection(
                host,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._then(opened.append)),  # noqa: B023
                on_open_error_callback=self._lose,
                on_close_callback=self._lose,
                custom_ioloop=self.loop,
            )
            reason = "no answer"
            try:
                # pika itself gives up before this, and then closes its socket.
                self.drive(lambda: bool(opened), 3 * _OPEN_SECONDS)  # noqa: B023 - it is over before the next turn of the loop
            except BrokerAwayError as error:
                reason = str(error)
            if opened:
                opened[0].add_on_close_callback(self._lose)
                return connection, opened[0]
            self.loop.close()
            reasons.append(f"{host.host}:{host.port}: {reason}")
        raise BrokerAwayError("; ".join(reasons))

    def drive(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let the connection work until something has come about or the time is up.

        :returns: whether it has come about.
        :raises BrokerAwayError: the connection is lost.
        """
        is_over: list[bool] = []
        timer = self.loop.call_later(max(0.0, seconds), self._then(lambda: is_over.append(True)))
        try:
            while self.lost is None and not until():
                if is_over:
                    return False
                self.loop.start()
        finally:
            self.loop.remove_timeout(timer)
        if self.lost is not None:
            raise BrokerAwayError(reason_of(self.lost))
        return True

    def declare(self, queue_name: str) -> None:
        """Make a queue and the one of its dead letters, unless they are there.

        :raises BrokerAwayError: the connection is lost, or there is another kind of queue by this name.
        """
        dead = f"{queue_name}.XQ"
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-max-priority": MOST_PRIORITY}
        for name, wishes in ((dead, {"x-message-ttl": _DEAD_LETTERS_KEPT_MILLISECONDS}), (queue_name, arguments)):
            self.ask(self.channel.queue_declare, queue=name, durable=True, arguments=wishes)

    def ask(self, method: Callable[..., Any], **words: Any) -> None:
        """Call a method of the channel and wait for the server's answer.

        :raises BrokerAwayError: none came.
        """
        answers: list[Any] = []
        try:
            method(**words, callback=self._then(answers.append))
        except pika.exceptions.AMQPError as error:
            self.give_up(error)
        if not self.drive(lambda: bool(answers), _ANSWER_SECONDS):
            self.close()
            raise BrokerAwayError(f"no answer within {_ANSWER_SECONDS:g} s")

    def close(self) -> None:
        """Close, without waiting long for the server's word on it; what is closed already stays so."""
        if self._is_closed:
            return
        self._is_closed = True
        self.lost = self.lost or BrokerAwayError("closed")
        if self._connection.is_open:
            self._connection.close()
        is_over: list[bool] = []
        self.loop.call_later(_CLOSE_SECONDS, self._then(lambda: is_over.append(True)))
        while not self._connection.is_closed and not is_over:  # the channel, whose end is heard first, is not the socket
            self.loop.start()
        self.loop.close()

    def give_up(self, error: BaseException) -> None:
        """Take the link for lost; whoever uses it is told."""
        self.lost = self.lost or error
        self.loop.stop()

    def _lose(self, source: Any, error: BaseException) -> None:
        del source
        self.give_up(error)

    def _then(self, act: Callable[..., Any]) -> Callable[..., None]:
        """Make a callback that acts and then lets `drive` look again."""

        def callback(*words: Any) -> None:
            act(*words)
            self.loop.stop()

        return callback


def reason_of(error: BaseException) -> str:
    """Say in a few words why a connection was not made or was lost."""
    while True:
        inner = getattr(error, "exceptions", None) or [getattr(error, "exception", None)]
        if not isinstance(inner[-1], BaseException):
            inner = [word for word in error.args if isinstance(word, BaseException)]
        if not inner:
            break
        error = inner[-1]
    match error:
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.AuthenticationError():
            return "the user or the password is refused"
        case pika.exceptions.ProbableAccessDeniedError():
            return "the virtual host is refused"
        case pika.exceptions.ChannelClosedByBroker(reply_text=text) | pika.exceptions.ConnectionClosedByBroker(reply_text=text):
            return str(text)
        case pika.exceptions.ConnectionOpenAborted():  # by pika itself, when its time is up
            return "no answer"
        case OSError(strerror=str(text)):
            return text
    return str(error) or type(error).__name__
