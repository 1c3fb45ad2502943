"""PostgreSQL for the campaign: a private server that a row may stop, kill and start again."""

import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import rabbitmq, redis
from tests.keeping import Server, free_port
from tests.ladder import UnavailableError
from tests.postgres import ROLE, _unprivileged, server_binaries

_CONFIGURATION = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
autovacuum_naptime = 5
"""


class PostgresServer:
    """One private server, of a folder of its own, on a free port of 127.0.0.1.

    :param folder: an empty folder, or that of a server that was made before.
    :param port: the port of one that was made before.
    """

    def __init__(self, folder: Path, *, port: int, password: str) -> None:
        binaries = server_binaries()
        if binaries is None:
            raise UnavailableError("no PostgreSQL server binaries on this machine")
        self._binaries = binaries
        self.folder = folder
        self.port = port
        self.password = password

    @classmethod
    def made(cls, folder: Path) -> "PostgresServer":
        """Make the files of a new server.

        :raises UnavailableError: there are no binaries, or they do not make one.
        """
        server = cls(folder, port=free_port(), password=secrets.token_hex(16))
        identity = _unprivileged()
        (folder / "password").write_text(server.password)
        if identity:
            for path in (folder, folder / "password"):
                shutil.chown(path, identity["user"], identity["group"])
        made = server._run(
            "initdb", "--pgdata", folder / "db", "--username", ROLE, "--pwfile", folder / "password", "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C.UTF-8",
        )  # fmt: skip
        if made.returncode:
            raise UnavailableError(f"initdb failed: {made.stderr.strip()}")
        with (folder / "db" / "postgresql.conf").open("a") as settings:
            settings.write(_CONFIGURATION.format(port=server.port))
        return server

    def url(self, database: str, *, port: int | None = None) -> str:
        """Give the URL of a database, reached through another port if one is named."""
        return f"postgresql+psycopg://{ROLE}:{self.password}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        started = self._run("pg_ctl", "--pgdata", self.folder / "db", "--log", self.folder / "log", "--wait", "--silent", "start")
        if started.returncode:
            raise UnavailableError(f"the server did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, mode: str = "fast") -> None:
        """Stop it, `immediate` as in a crash."""
        self._run("pg_ctl", "--pgdata", self.folder / "db", "--mode", mode, "--wait", "--silent", "stop")

    def is_running(self) -> bool:
        """Tell whether it runs."""
        return self._run("pg_ctl", "--pgdata", self.folder / "db", "status").returncode == 0

    def _run(self, program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._binaries / program, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", check=False,
            timeout=60, **_unprivileged(),
        )  # fmt: skip


@contextmanager
def postgres(folder: Path | None = None) -> Iterator[PostgresServer]:
    """Run a server for the length of a block, and delete it."""
    folder = folder or Path(tempfile.mkdtemp(prefix="greenroom-faults-postgres-"))
    server = PostgresServer.made(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def broker(kind: str, control: Path) -> Iterator[dict[str, str]]:
    """Run a broker's server for the length of a block; trials stop and start it over a socket.

    :param control: the path of that socket.
    :returns: what a trial needs to know of it.
    """
    with rabbitmq.private() if kind == "rabbitmq" else redis.private() as server, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control))
        listener.listen()
        threading.Thread(target=_obey, args=(listener, server), name=f"control-{kind}", daemon=True).start()
        yield {"url": server.url, "control": str(control)}


def tell(control: str, word: str) -> None:
    """Have the campaign do something to a broker, and wait until it is done.

    :param word: stop, kill, start, wipe, alarm or calm.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        connection.connect(control)
        connection.sendall(word.encode())
        said = connection.recv(1000).decode()
        assert said == "done", said


def _obey(listener: socket.socket, server: Server) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            word = connection.recv(100).decode()
            try:
                if word in {"alarm", "calm"}:
                    assert isinstance(server, rabbitmq.Rabbit)
                    server.control("set_disk_free_limit", "1000GB" if word == "alarm" else "50MB")
                else:
                    getattr(server, word)()
                connection.sendall(b"done")
            except Exception as error:
                connection.sendall(repr(error).encode()[:900])
