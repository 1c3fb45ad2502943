"""RabbitMQ servers for tests: each rung of the ladder is a context manager that gives a server's URL."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pika
from pika.exceptions import AMQPError

from tests import containers
from tests.keeping import Server, folder_of, free_port, give, kept, url_of
from tests.ladder import UnavailableError, ladder

URL_VARIABLE = "GREENROOM_TEST_RABBITMQ_URL"
ROLE = "greenroom"
_SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # Debian's own in /usr/sbin insist on the account and the folders of the system's server

# Every node needs Erlang's port mapper. This one is the server's alone, on a port of its own, and ends with it.
_WITH_MAPPER = 'epmd -address 127.0.0.1 & exec "$1"'


class Rabbit(Server):
    """A private RabbitMQ server."""

    environment: Mapping[str, str]
    identity: Mapping[str, Any]

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl` and give what it prints."""
        done = subprocess.run(
            [_SCRIPTS / "rabbitmqctl", "--quiet", "--timeout", "60", *words],
            capture_output=True, text=True, check=False, cwd="/", env=dict(self.environment), **self.identity,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr or done.stdout
        return str(done.stdout)

    def wipe(self) -> None:
        """Forget all: queues, messages, users; the user of the URL is made again."""
        for word in ("stop_app", "reset", "start_app"):
            self.control(word)
        self.wait()


@contextmanager
def private() -> Iterator[Rabbit]:
    """Run a server from the binaries on this machine, on free ports of 127.0.0.1, until the block or the process ends.

    Raises:
        UnavailableError: there are no binaries, or they do not start.
    """
    binary = _SCRIPTS / "rabbitmq-server"
    if not binary.exists() or shutil.which("epmd") is None:
        raise UnavailableError("no rabbitmq-server on this machine (Debian's package is called rabbitmq-server)")
    password, port = secrets.token_hex(16), free_port()
    url = f"amqp://{ROLE}:{password}@127.0.0.1:{port}/%2F"
    with folder_of("rabbitmq", "rabbitmq") as (folder, identity):
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{port}",
            "default_user": ROLE,
            "default_pass": password,
            "disk_free_limit.absolute": "50MB",
            "log.console": "true",
            "log.file": "false",
        }
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        give(folder, "rabbitmq.conf", lines, identity)
        give(folder, "plugins", "[].\n", identity)
        give(folder, "nothing", "", identity)
        give(folder, ".erlang.cookie", secrets.token_hex(16), identity).chmod(0o400)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"greenroom-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "stored"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "nothing"),
            # Its schedulers would otherwise spin when idle, at the cost of what is tested beside it.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }
        with kept(
            ["sh", "-c", _WITH_MAPPER, "server", binary],
            folder=folder, identity=identity, url=url, answers=lambda: answers(url), environment=environment,
        ) as server:  # fmt: skip
            server.__class__ = Rabbit
            assert isinstance(server, Rabbit)
            server.environment, server.identity = environment, identity
            yield server


def server() -> AbstractContextManager[tuple[str, str]]:
    """Give the first server that the ladder has."""
    return ladder(URL_VARIABLE, contained=containers.rabbitmq, private=partial(url_of, private))


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = 2
    try:
        with closing(pika.BlockingConnection(parameters)):
            return True
    except (AMQPError, OSError):
        return False
