"""Where a benchmark runs: a fresh database, and real worker and API processes on it."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.machine import family
from persistence import admission, keys, users
from persistence.batches import run
from persistence.database import Database
from persistence.settings import DatabaseSettings
from persistence.verify import verify
from tests import postgres, rabbitmq, redis, services

ROOT = Path(__file__).resolve().parent.parent
_PARTING_SECONDS = 60
_numbers = itertools.count(1)


class Place:
    """A fresh, migrated database.

    :param url: its URL.
    :param folder: for files of the run; it goes with the database.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.database = Database(DatabaseSettings(), url=url)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "SQLite" if self.database.is_sqlite else "PostgreSQL"

    def environment(self, **settings: Any) -> dict[str, str]:
        """Make the environment of a process that works here; nothing of ours but what is given."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GREENROOM_", "PYTHON"))}
        ours = {"database_url": self.url, "data_dir": self.folder, "actors": "benchmarks.work", "log_level": "warning"}
        return kept | {f"GREENROOM_{name.upper()}": str(value) for name, value in (ours | settings).items()}

    def ask(self, sql: str, **parameters: Any) -> list[Any]:
        """Run a reading statement."""
        with self.database.read() as session:
            return list(run(session, sql, **parameters).all())

    def epoch(self, column: str) -> str:
        """Write the SQL for a moment in seconds of the machine's clock."""
        if self.database.is_sqlite:
            return f"(julianday({column}) - 2440587.5) * 86400.0"
        return f"CAST(extract(epoch FROM {column}) AS float8)"

    @contextmanager
    def broker(self, name: str) -> Iterator[dict[str, str]]:
        """Run a private broker; gives the settings with which processes use it, none for the SQL broker's empty name."""
        if not name:
            yield {}
            return
        with {"RabbitMQ": rabbitmq.private, "Redis": redis.private}[name]() as broker:
            yield {"broker_url": broker.url}

    def compile(self) -> None:
        """Compile our modules, as an installation does, so that no start is measured that has to."""
        folders = [str(ROOT / name) for name in ("persistence", "middleware", "actors", "api", "benchmarks")]
        folders.append(sysconfig.get_path("purelib"))
        subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "2", *folders], check=False, env=self.environment())

    def server_pid(self) -> int | None:
        """Find the server's first process; None on SQLite."""
        if self.database.is_sqlite:
            return None
        (backend,) = self.ask("SELECT pg_backend_pid()")[0]
        return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])

    def check(self, *, completed: int, transitions: int = 3) -> None:
        """See to it that every job is completed, with all its transitions, and that no invariant is broken.

        :raises AssertionError: what is not so; then no figure of the run is worth anything.
        """
        stood = dict(self.ask("SELECT status, count(*) FROM jobs GROUP BY status"))
        (steps,) = self.ask("SELECT count(*) FROM transitions")[0]
        if stood != {"completed": completed} or steps != completed * transitions:
            message = f"not {completed} completed jobs with {transitions} transitions each: {stood}, {steps} transitions"
            raise AssertionError(message)
        with self.database.read() as session:
            found = verify(session)
        if found:
            raise AssertionError("; ".join(map(str, found[:3])))


@contextmanager
def server() -> Iterator[str]:
    """Run a private PostgreSQL server for all benchmarks of a run."""
    with postgres.private() as url:
        yield url


@contextmanager
def fresh(postgres_url: str | None) -> Iterator[Place]:
    """Make a database for one measurement: on the server, or with None a file of SQLite."""
    with tempfile.TemporaryDirectory(prefix="greenroom-benchmark-") as name:
        folder = Path(name)
        if postgres_url is None:
            url = f"sqlite:///{folder / 'greenroom.db'}"
            services.migrated(url)
            yield from _used(url, folder)
            return
        with services.new_database(postgres_url) as url:
            services.migrated(url)
            yield from _used(url, folder)


def _used(url: str, folder: Path) -> Iterator[Place]:
    place = Place(url, folder)
    try:
        with place.database.write() as session:
            users.ship_tiers(session)
        yield place
    finally:
        place.database.close()


def add_users(place: Place, count: int, *, tier: str, limits: Mapping[str, int] | None = None) -> list[str]:
    """Make users of a tier, which is made or changed first if limits are given; their ids."""
    with place.database.write() as session:
        if limits is not None:
            users.put_tier(session, name=tier, limits={**users.SHIPPED_TIERS["enterprise"], **limits})
        return [users.put(session, name=f"user-{next(_numbers)}", tenant="benchmarks", tier=tier)[0].id for _ in range(count)]


def fill(place: Place, user_ids: list[str], each: int, *, type_name: str, most: int = 10_000) -> int:
    """Submit jobs through admission, so many a user, mixed in time; how many there are."""
    per_turn = max(1, most // len(user_ids))
    left = each
    while left:
        size = min(left, per_turn)
        units = [
            admission.Unit(user_id, [admission.Submission(type_name, "default", "{}", 4) for _ in range(size)])
            for user_id in user_ids
        ]
        with place.database.write() as session:
            for answer in admission.submit(session, units):
                if isinstance(answer, Exception):
                    raise answer
        left -= size
    tidy(place)
    return each * len(user_ids)


def tidy(place: Place) -> None:
    """Bring the planner's statistics up to date, as autovacuum does before long."""
    if place.database.is_sqlite:
        return
    with psycopg.connect(place.url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def add_key(place: Place) -> str:
    """Make the user `caller` without limits that a benchmark could reach, and a key."""
    limits = users.SHIPPED_TIERS["enterprise"] | {
        "max_active": 100_000_000,
        "max_running": 1_000,
        "submits_per_minute": 10_000_000,
    }
    with place.database.write() as session:
        users.put_tier(session, name="caller", limits=limits)
        user, _ = users.put(session, name="caller", tenant="benchmarks", tier="caller")
        return keys.create(session, user_id=user.id, scope="user")[1]


class Processes:
    """One `dramatiq actors` or one API, running.

    :param process: what was started.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.pid = process.pid

    def children(self) -> list[int]:
        """List what descends from it."""
        return family(self.pid)[1:]


@contextmanager
def workers(place: Place, processes: int, threads: int, **settings: Any) -> Iterator[Processes]:
    """Run `dramatiq actors` as an operator would; it has ended, in good order, at the end of the block."""
    command = [sys.executable, "-m", "dramatiq", "actors", "--processes", str(processes), "--threads", str(threads)]
    with running(command, place.environment(**settings)) as started:
        yield started


@contextmanager
def api(place: Place, **settings: Any) -> Iterator[tuple[Processes, int]]:
    """Run one API process; gives it, ready, with its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.serve"]
    with running(command, place.environment(port=port, **settings)) as started:
        until(lambda: _listens(port), seconds=30)
        yield started, port


@contextmanager
def running(command: list[str], environment: Mapping[str, str]) -> Iterator[Processes]:
    """Run a command until the end of the block; what it wrote is shown only if the block fails."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=log, stderr=log)
        try:
            yield Processes(process)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:].decode(errors="replace"))
            raise
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_PARTING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool], *, seconds: float, every: float = 0.05) -> None:
    """Wait for something to become true.

    :raises TimeoutError: it did not within the time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(every)
