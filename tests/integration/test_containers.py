"""The rung of the ladder where a Docker engine answers: real servers in containers, for this machine only."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

import docker
import pika
import psycopg
import pytest
import redis
from docker.models.containers import Container

from tests import containers, services
from tests.ladder import CONTAINED, RUNG_VARIABLE, UnavailableError
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # the first time, images may have to be pulled

Server = Callable[[], AbstractContextManager[str]]

HOLDS_REDIS = """
from tests import containers
with containers.redis() as url:
    print("ready", flush=True)
    input()
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """Give a client of the engine; without one or its images the test is skipped, and fails where containers are asked for."""
    if problem := containers.engine_problem():
        do_without(problem)
    with closing(docker.from_env()) as client:
        yield client


@contextmanager
def started(server: Server) -> Iterator[str]:
    """Start a server for the length of a block, if its image can be had."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(server())
        except UnavailableError as error:
            do_without(str(error))
        yield url


def do_without(problem: str) -> NoReturn:
    """Skip the test, or fail where containers are what is to be proven."""
    if os.environ.get(RUNG_VARIABLE) == CONTAINED:
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)


def answers_sql(url: str) -> bool:
    """Ask PostgreSQL for something that only a role which may create databases can do."""
    with services.new_database(url) as own, services.connected(own) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def answers_amqp(url: str) -> bool:
    """Ask RabbitMQ for a message that was confirmed."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"hello", mandatory=True)
        return bool(channel.basic_get(queue, auto_ack=True)[2] == b"hello")


def answers_redis(url: str) -> bool:
    """Ask Redis for what it was given."""
    with closing(redis.Redis.from_url(url)) as client:
        return bool(client.set("word", "hello") and client.get("word") == b"hello")


@pytest.mark.parametrize(
    ("server", "answers", "without_password"),
    [
        (containers.postgres, answers_sql, psycopg.OperationalError),
        (containers.rabbitmq, answers_amqp, pika.exceptions.AMQPConnectionError),
        (containers.redis, answers_redis, redis.exceptions.AuthenticationError),
    ],
    ids=["postgres", "rabbitmq", "redis"],
)
def test_servers_run_in_containers(
    engine: docker.DockerClient,
    server: Server,
    answers: Callable[[str], bool],
    without_password: type[Exception],
) -> None:
    """Each server does its work, for those on this machine who know its password, not as root, and goes after the tests."""
    with started(server) as url:
        assert answers(url)
        with pytest.raises(without_password):
            answers(url.replace(str(urlsplit(url).password), "guessed"))
        container = of_this_process(engine, urlsplit(url).port)
        assert {binding["HostIp"] for bindings in container.ports.values() for binding in bindings or []} == {"127.0.0.1"}
        users = [line[0] for line in container.top(ps_args="-eo uid,pid,args")["Processes"]]
        assert users
        assert "0" not in users
    assert not engine.containers.list(all=True, filters={"id": str(container.id)})


def test_a_killed_run_leaves_no_container(engine: docker.DockerClient) -> None:
    """When the tests are killed, what they have started in containers goes all the same."""
    with started(containers.redis):
        pass  # the image is here, then
    with subprocess.Popen([sys.executable, "-c", HOLDS_REDIS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        ours: dict[str, str | list[str] | bool] = {"label": f"{containers.LABEL}={run.pid}"}
        assert engine.containers.list(filters=ours)
        run.send_signal(signal.SIGKILL)
    until(lambda: not engine.containers.list(all=True, filters=ours, ignore_removed=True), "end of its container")


@pytest.mark.skipif(os.environ.get(RUNG_VARIABLE) != CONTAINED, reason=f"{RUNG_VARIABLE} does not ask for containers")
def test_the_suites_run_on_containers(engine: docker.DockerClient, postgres_url: str) -> None:
    """Where containers are asked for, as CI does, the server that all suites share is one."""
    assert of_this_process(engine, urlsplit(postgres_url).port).status == "running"


def of_this_process(engine: docker.DockerClient, port: int | None) -> Container:
    """Find the container of these tests that publishes a port."""
    (found,) = [
        container
        for container in engine.containers.list(filters={"label": f"{containers.LABEL}={os.getpid()}"})
        if any(int(binding["HostPort"]) == port for bindings in container.ports.values() for binding in bindings or [])
    ]
    return found
