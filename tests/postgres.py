"""PostgreSQL servers for tests: each rung of the ladder is a context manager that gives a server's URL."""

import gc
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

URL_VARIABLE = "GREENROOM_TEST_DATABASE_URL"
IMAGE_VARIABLE = "GREENROOM_TEST_POSTGRES_IMAGE"
OFFICIAL_IMAGE = "postgres:17"
ROLE = "greenroom"

# The keepers outlive a test run that is killed: their reading ends when the pipe loses its only writer.
CONTAINER_KEEPER = """
import contextlib, sys, docker
sys.stdin.read()
with contextlib.suppress(docker.errors.NotFound):
    docker.from_env().containers.get(sys.argv[1]).remove(force=True, v=True)
"""
KEEPER = """
"$1/pg_ctl" --pgdata "$2/db" --log "$2/log" --wait --silent start && echo ready
read -r _
"$1/pg_ctl" --pgdata "$2/db" --mode fast --wait --silent stop
rm -rf "$2"
"""


class UnavailableError(Exception):
    """This rung does not hold; the message says why."""


@contextmanager
def given() -> Iterator[str]:
    """Give the server that the environment names; its role must be allowed to create databases.

    Raises:
        UnavailableError: the environment names none.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise UnavailableError(f"{URL_VARIABLE} is not set")
    yield url


@contextmanager
def contained() -> Iterator[str]:
    """Run a server in a container, published on 127.0.0.1 only.

    Raises:
        UnavailableError: no engine answers, or it has no such image and cannot get it.
    """
    problem = _engine_problem()
    if problem:
        raise UnavailableError(problem)
    # Read when testcontainers is imported. Its reaper would need one more image and a port on every interface.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    local = os.environ.get("DOCKER_HOST", "unix:").startswith("unix:")
    if local:
        os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
        os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    from testcontainers.community.postgres import PostgresContainer  # late: see above

    image = os.environ.get(IMAGE_VARIABLE, OFFICIAL_IMAGE)
    container = PostgresContainer(image, username=ROLE, password=secrets.token_hex(16), driver="psycopg")
    if local:
        container.ports = {"5432/tcp": ("127.0.0.1", None)}  # type: ignore[dict-item]  # docker takes an address, too
    try:
        container.start()
    except (DockerException, TimeoutError) as error:
        container.stop()
        raise UnavailableError(f"no container of {image}: {error}") from error
    command = [sys.executable, "-c", CONTAINER_KEEPER, str(container.get_wrapped_container().id)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield container.get_connection_url()


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


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Give the first server that the ladder has: the name of its rung, and its URL.

    Raises:
        UnavailableError: no rung holds; the message has each one's reason.
    """
    reasons = []
    for rung in (given, contained, private):
        with ExitStack() as stack:
            try:
                url = stack.enter_context(rung())
            except UnavailableError as error:
                reasons.append(f"{rung.__name__}: {error}")
                continue
            yield rung.__name__, url
            return
    raise UnavailableError("; ".join(reasons))


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


def _engine_problem() -> str | None:
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
