"""Redis servers for tests: each rung of the ladder is a context manager that gives a server's URL."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import redis

from tests import containers
from tests.keeping import Server, folder_of, free_port, give, kept, url_of
from tests.ladder import UnavailableError, ladder

URL_VARIABLE = "GREENROOM_TEST_REDIS_URL"


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


def server() -> AbstractContextManager[tuple[str, str]]:
    """Give the first server that the ladder has."""
    return ladder(URL_VARIABLE, contained=containers.redis, private=partial(url_of, private))


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    with redis.Redis.from_url(url, socket_timeout=2, retry=None) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
