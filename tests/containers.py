"""Servers in containers, the rung of the ladder for where a Docker engine answers: testcontainers starts them.

Which images is a setting; the official ones are the default. Each server is published on 127.0.0.1 only, with a password
of its own, and goes with the tests, even when they are killed.
"""

import gc
import os
import secrets
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import DockerException

from tests.ladder import UnavailableError

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

POSTGRES_IMAGE_VARIABLE, POSTGRES_IMAGE = "GREENROOM_TEST_POSTGRES_IMAGE", "postgres:17"
RABBITMQ_IMAGE_VARIABLE, RABBITMQ_IMAGE = "GREENROOM_TEST_RABBITMQ_IMAGE", "rabbitmq:3-management"
REDIS_IMAGE_VARIABLE, REDIS_IMAGE = "GREENROOM_TEST_REDIS_IMAGE", "redis:7"
NAME = "greenroom"
LABEL = "greenroom.tests"

# It outlives a test run that is killed: its reading ends when the pipe loses its only writer.
KEEPER = """
import contextlib, sys, docker
sys.stdin.read()
with contextlib.suppress(docker.errors.NotFound):
    docker.from_env().containers.get(sys.argv[1]).remove(force=True, v=True)
"""


@contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL, with a role that may create databases.

    Raises:
        UnavailableError: no engine answers, or it has no such image and cannot get it.
    """

    def make(image: str) -> "DockerContainer":
        from testcontainers.community.postgres import PostgresContainer

        return PostgresContainer(image, username=NAME, password=secrets.token_hex(16), driver="psycopg")

    with _running(os.environ.get(POSTGRES_IMAGE_VARIABLE, POSTGRES_IMAGE), 5432, make) as container:
        yield container.get_connection_url()


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run RabbitMQ, with a user who may do anything in the virtual host `/`.

    Raises:
        UnavailableError: no engine answers, or it has no such image and cannot get it.
    """

    def make(image: str) -> "DockerContainer":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it waits in a way that its own authors have replaced
            from testcontainers.community.rabbitmq import RabbitMqContainer

        return RabbitMqContainer(image, port=5672, username=NAME, password=secrets.token_hex(16), vhost="/")

    with _running(os.environ.get(RABBITMQ_IMAGE_VARIABLE, RABBITMQ_IMAGE), 5672, make) as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(5672)
        yield f"amqp://{container.username}:{container.password}@{host}:{port}/%2F"


@contextmanager
def redis() -> Iterator[str]:
    """Run Redis, with a password.

    Raises:
        UnavailableError: no engine answers, or it has no such image and cannot get it.
    """

    def make(image: str) -> "DockerContainer":
        from testcontainers.community.redis import RedisContainer

        return RedisContainer(image, port=6379, password=secrets.token_hex(16))

    with _running(os.environ.get(REDIS_IMAGE_VARIABLE, REDIS_IMAGE), 6379, make) as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        yield f"redis://:{container.password}@{host}:{port}/0"


def engine_problem() -> str | None:
    """Say why no Docker engine answers, within milliseconds where there is none."""
    with warnings.catch_warnings():
        # Where nobody listens, docker leaves its socket to the garbage collector, which warns about it.
        warnings.simplefilter("ignore", ResourceWarning)
        problem = None
        try:
            with closing(docker.from_env(timeout=2)) as client:
                client.ping()
        except DockerException as error:
            problem = f"no Docker engine answers: {error}"
        gc.collect()
        return problem


@contextmanager
def _running(image: str, port: int, make: Callable[[str], "DockerContainer"]) -> Iterator[Any]:
    """Run a container until the block or the process ends.

    :param port: the one that its server listens on.
    :param make: makes the container, not yet started, of an image.
    """
    problem = engine_problem()
    if problem:
        raise UnavailableError(problem)
    # Read when testcontainers is imported, late for that reason. Its reaper would need one more image and a port on every
    # interface; we have a keeper.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    local = os.environ.get("DOCKER_HOST", "unix:").startswith("unix:")
    if local:
        os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
        os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    container = make(image).with_kwargs(labels={LABEL: str(os.getpid())})
    if local:
        container.ports = {f"{port}/tcp": ("127.0.0.1", None)}  # type: ignore[dict-item]  # docker takes an address, too
    try:
        container.start()
    except (DockerException, TimeoutError) as error:
        container.stop()
        raise UnavailableError(f"no container of {image}: {error}") from error
    command = [sys.executable, "-c", KEEPER, str(container.get_wrapped_container().id)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield container
