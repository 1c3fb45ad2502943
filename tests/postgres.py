"""PostgreSQL servers for tests: the one from the binaries on this machine, and the whole ladder (tests/ladder.py)."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests import containers
from tests.ladder import UnavailableError, ladder

URL_VARIABLE = "GREENROOM_TEST_DATABASE_URL"
ROLE = "greenroom"

# It outlives a test run that is killed: its reading ends when the pipe loses its only writer.
KEEPER = """
"$1/pg_ctl" --pgdata "$2/db" --log "$2/log" --wait --silent start && echo ready
read -r _
"$1/pg_ctl" --pgdata "$2/db" --mode fast --wait --silent stop
rm -rf "$2"
"""


@contextmanager
def private() -> Iterator[str]:
    """Run a server from the binaries on this machine, on a free port of 127.0.0.1, until the block or the process ends.

    Raises:
        UnavailableError: there are no binaries, or they do not start.
    """
    binaries = server_binaries()
    if binaries is None:
        raise UnavailableError("no server binaries on this machine (Debian's package is called postgresql)")
    identity = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="greenroom-postgres-"))
    password = secrets.token_hex(16)
    port = _free_port()
    (folder / "password").write_text(password)
    if identity:
        shutil.chown(folder, identity["user"], identity["group"])
        shutil.chown(folder / "password", identity["user"], identity["group"])
    made = subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "db", "--username", ROLE, "--pwfile", folder / "password",
         "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"],
        capture_output=True, text=True, cwd=folder, check=False, **identity,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder)
        raise UnavailableError(f"initdb failed: {made.stderr.strip()}")
    with (folder / "db" / "postgresql.conf").open("a") as settings:
        settings.write(f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n")
    keeper = subprocess.Popen(
        ["sh", "-c", KEEPER, "keeper", binaries, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        start_new_session=True,  # a Ctrl-C is for the tests; the server goes when they have
        **identity,
    )  # fmt: skip
    with keeper:  # leaving it closes the pipe and waits until the keeper has stopped the server
        assert keeper.stdout is not None
        if keeper.stdout.readline() != "ready\n":
            raise UnavailableError(f"the server did not start: {(folder / 'log').read_text()[-2000:]}")
        yield f"postgresql+psycopg://{ROLE}:{password}@127.0.0.1:{port}/postgres"


def server() -> AbstractContextManager[tuple[str, str]]:
    """Give the first server that the ladder has; its role may create databases."""
    return ladder(URL_VARIABLE, contained=containers.postgres, private=private)


def server_binaries() -> Path | None:
    """Find the folder of the newest server on this machine; Debian keeps it outside PATH."""
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if debian:
        return max(debian, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _unprivileged() -> dict[str, Any]:
    """Choose whom the server runs as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
