"""Several RabbitMQ hosts that stand in for each other, not a cluster: what one took along is sent again by the other."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import rabbitmq, waiting
from tests.integration.brokers.conftest import Open
from tests.integration.brokers.theatre import PATIENCE_SECONDS
from tests.integration.brokers.wires import RabbitmqWire, Wire
from tests.keeping import free_port
from tests.ladder import UnavailableError
from tests.services import give_up

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]

USER = "traveller"


class HostsWire(Wire):
    """Some servers in one URL, with a user and a password that all of them know.

    :param places: host and port of each, in the order in which they are tried.
    """

    def __init__(self, places: list[str], password: str) -> None:
        super().__init__(f"amqp://{USER}:{password}@{','.join(places)}/")
        self._wires = [RabbitmqWire(f"amqp://{USER}:{password}@{place}/") for place in places]

    def delete(self, broker: Any, queue: str) -> None:
        """Delete the queue where it can be reached."""
        for wire in self._wires:
            with suppress(Exception):
                wire.delete(broker, queue)


@pytest.fixture(scope="module")
def other_server() -> Iterator[rabbitmq.Rabbit]:
    """Give a second RabbitMQ server, which knows nothing of the first one."""
    try:
        with rabbitmq.private() as server:
            yield server
    except UnavailableError as error:
        give_up("a second RabbitMQ", str(error))


@pytest.fixture
def password(rabbitmq_server: rabbitmq.Rabbit, other_server: rabbitmq.Rabbit) -> str:
    """Make a user on both servers, and give the password."""
    password = secrets.token_hex(8)
    for server in (rabbitmq_server, other_server):
        with suppress(AssertionError):
            server.control("delete_user", USER)
        server.control("add_user", USER, password)
        server.control("set_permissions", USER, ".*", ".*", ".*")
    return password


@pytest.fixture
def stage(database_url: str) -> tuple[str, Wire | None]:
    """Give the URL of a database; each test makes its own wire."""
    return database_url, None


def place(server: rabbitmq.Rabbit) -> str:
    """Tell where a server listens."""
    parts = urlsplit(server.url)
    return f"{parts.hostname}:{parts.port}"


def connections(server: rabbitmq.Rabbit) -> int:
    """Count our connections to a server."""
    return server.control("list_connections", "user").split().count(USER)


def test_a_host_that_is_away_is_passed_over(opened: Open, other_server: rabbitmq.Rabbit, password: str) -> None:
    """Start, publisher and consumer use the host that lives, wherever it stands in the URL."""
    theatre = opened(wire=HostsWire([f"127.0.0.1:{free_port()}", place(other_server)], password))
    theatre.all_completed(theatre.submit(*range(40)))
    assert sorted(theatre.played) == list(range(40))
    waiting.until(lambda: connections(other_server) == 2, "only two connections", seconds=PATIENCE_SECONDS)


def test_when_a_host_dies_the_other_one_takes_over(
    opened: Open, rabbitmq_server: rabbitmq.Rabbit, other_server: rabbitmq.Rabbit, password: str
) -> None:
    """Publisher and consumer move on and back again, and what lay on the dead host is sent again: each job is done once."""
    # given
    servers = [rabbitmq_server, other_server]
    theatre = opened(threads=2, resend_seconds=1.0, wire=HostsWire([place(server) for server in servers], password))
    theatre.all_completed(theatre.submit(0))
    waiting.until(lambda: [connections(server) for server in servers] == [2, 0], "the first host", seconds=PATIENCE_SECONDS)
    done = 1
    for living, dead in ((1, 0), (0, 1)):
        # when: all threads are busy, so that what comes next lies on the host that dies
        theatre.gate.entered.clear()
        theatre.gate.opened.clear()
        held = theatre.submit(done, done + 1, actor=theatre.waits)
        waiting.passed(theatre.gate.entered, "job at the gate", seconds=PATIENCE_SECONDS)
        jobs = theatre.submit(*range(done + 2, done + 20))
        theatre.sent(jobs[0])
        servers[dead].kill()
        theatre.gate.opened.set()
        # then
        theatre.all_completed([*held, *jobs, *theatre.submit(*range(done + 20, done + 40))])
        done += 40
        assert sorted(theatre.played) == list(range(done))
        waiting.until(lambda living=living: connections(servers[living]) == 2, "both connections", seconds=PATIENCE_SECONDS)
        servers[dead].start()
