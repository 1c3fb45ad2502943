"""Redis servers for tests: each rung of the ladder is a context manager that gives a server's URL."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from tests.keeping import Server, UnavailableError, folder_of, free_port, give, kept

URL_VARIABLE = "GREENROOM_TEST_REDIS_URL"


@contextmanager
def given() -> Iterator[str]:
    """Give the server that the environment names; tests empty the database that its URL names.

    Raises:
        UnavailableError: the environment names none.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise UnavailableError(f"{URL_VARIABLE} is not set")
    yield url


@contextmanager
def private() -> Iterator[Server]:
    """Run a server from the binaries on this machine, on a free port of 127.0.0.1, until the block or the process ends.

    Raises:
        UnavailableError: there are no binaries, or they do not start.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        raise UnavailableError("no redis-server on this machine (Debian's package is called redis-server)")
    password, port = secrets.token_hex(16), free_port()
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    with folder_of("redis", "redis") as (folder, identity):
        settings = f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nappendonly yes\nsave ''\n"
        path = give(folder, "redis.conf", settings, identity)
        with kept([binary, path], folder=folder, identity=identity, url=url, answers=lambda: answers(url)) as server:
            yield server


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Give the first server that the ladder has: the name of its rung, and its URL.

    Raises:
        UnavailableError: no rung holds; the message has each one's reason.
    """
    reasons = []
    with ExitStack() as stack:
        try:
            url = stack.enter_context(given())
        except UnavailableError as error:
            reasons.append(f"given: {error}")
        else:
            yield "given", url
            return
        try:
            started = stack.enter_context(private())
        except UnavailableError as error:
            reasons.append(f"private: {error}")
        else:
            yield "private", started.url
            return
    raise UnavailableError("; ".join(reasons))


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    with redis.Redis.from_url(url, socket_timeout=2, retry=None) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
