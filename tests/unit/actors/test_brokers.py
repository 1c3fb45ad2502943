"""The choice of a broker: what its URL may be, and the one line that says what is wrong with it."""

import socket
from collections.abc import Iterator

import pytest

from actors.brokers import check, make_broker
from actors.rabbitmq_broker import RabbitmqBroker
from actors.rabbitmq_link import parameters_of
from actors.redis_broker import RedisBroker
from middleware.hand import Hand
from persistence.environment import SettingsError
from tests.keeping import free_port

SECRET = "s3cr3t-word"


def nobody() -> Hand:
    """Give the hand of a worker that does not run."""
    raise RuntimeError("no worker runs here")


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("amqp://one", [("one", 5672, "/")]),
        ("amqp://ann:pw@one:5673/rooms", [("one", 5673, "rooms")]),
        ("amqp://ann:pw@one,two:5673,three/rooms", [("one", 5672, "rooms"), ("two", 5673, "rooms"), ("three", 5672, "rooms")]),
        ("amqp://ann:p,w@one;two/%2F", [("one", 5672, "/"), ("two", 5672, "/")]),
        ("amqp://a:b@one/x,amqp://c:d@two:1/y", [("one", 5672, "x"), ("two", 1, "y")]),
        ("amqp://a:b@one;amqps://c:d@two", [("one", 5672, "/"), ("two", 5671, "/")]),
    ],
)
def test_hosts_of_a_url(url: str, hosts: list[tuple[str, int, str]]) -> None:
    """One or several hosts, with commas or semicolons, in one URL or in whole ones."""
    assert [(found.host, found.port, found.virtual_host) for found in parameters_of(url)] == hosts


def test_each_host_has_its_credentials() -> None:
    """The user and the password stand once for all hosts of a URL, commas in the password included."""
    for found in parameters_of("amqp://ann:p,w@one,two"):
        assert (found.credentials.username, found.credentials.password) == ("ann", "p,w")


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://ann:{SECRET}@host",
        f"amqp:ann:{SECRET}@host",
        f"ann:{SECRET}@host",
        f"amqp://ann:{SECRET}@host:port/",
        f"amqp://ann:{SECRET}@/",
        f"amqp://ann:{SECRET}@one,,two",
        f"redis://ann:{SECRET}@host:port/0",
        f"redis:{SECRET}/",
        f"amqp://ann:1234#{SECRET}@host/",
        f"amqp://ann:{SECRET}/{SECRET}@host/",
        f"amqp://a:b@one/x,amqp://ann:1234?{SECRET}@two/y",
        f"redis://:1234/{SECRET}@host/0",
        f"redis://:1234#{SECRET}@host/0",
        "redis://host/0?nonsense=1",
        "redis://host/0?socket_timeout=soon",
        "amqp://host/?nonsense=1",
        "nonsense",
        "://",
    ],
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    """One line names the setting and shows nothing of it."""
    with pytest.raises(SettingsError, match="^GREENROOM_BROKER_URL: ") as caught:
        make_broker(url, nobody)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.fixture
def silent() -> Iterator[int]:
    """Give a port where somebody listens and never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("url", ["amqp://ann:{}@127.0.0.1:{}/", "redis://ann:{}@127.0.0.1:{}/0"])
def test_a_broker_that_is_not_there(url: str) -> None:
    """The line says where nobody answers, and no password."""
    port = free_port()
    broker = make_broker(url.format(SECRET, port), nobody)
    with pytest.raises(SettingsError, match=rf"^GREENROOM_BROKER_URL: the broker cannot be used: .*{port}.*[Rr]efused") as caught:
        check(broker)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["amqp://ann:{}@127.0.0.1:{}/", "redis://ann:{}@127.0.0.1:{}/0"])
def test_a_server_that_never_speaks(url: str, silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while."""
    monkeypatch.setattr("actors.rabbitmq_link._OPEN_SECONDS", 0.3)
    monkeypatch.setattr("actors.redis_broker._CONNECT_SECONDS", 0.3)
    with pytest.raises(SettingsError, match="the broker cannot be used: "):
        check(make_broker(url.format(SECRET, silent), nobody))


def test_nothing_is_connected_when_a_broker_is_made() -> None:
    """The API makes the broker, too, and must not need it."""
    assert isinstance(make_broker("amqp://127.0.0.1:1", nobody), RabbitmqBroker)
    assert isinstance(make_broker("redis://127.0.0.1:1", nobody), RedisBroker)
