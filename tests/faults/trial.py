"""A trial: one row of the campaign on one set-up, with processes, a database, a load and logs of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.greenroom_up import children, free_port
from tests.faults import messages
from tests.faults.execution_log import STALE, WITHOUT
from tests.faults.load import TENANTS, Caller, Load
from tests.faults.processes import Keeper, Process, api_command, worker_command
from tests.faults.servers import PostgresServer, tell
from tests.faults.setups import PATIENCE, ROOT, SETTINGS, TIER, FaultError, Setup

_LOOK_SECONDS = 0.05
_START_SECONDS = 40.0


@dataclass
class Verdict:
    """What came of a trial."""

    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Trial:
    """One row on one set-up.

    :param folder: an empty folder for everything that is written.
    :param servers: what the campaign runs already, as `tests.faults.campaign` describes it.
    :param without: the guards that are taken out, for a negative control.
    """

    def __init__(
        self, folder: Path, setup: Setup, servers: dict[str, Any], *, seed: int, is_long: bool = False, without: str = ""
    ) -> None:
        self.folder, self.setup, self.seed, self.is_long, self.without = folder, setup, seed, is_long, without
        self.verdict = Verdict()
        self.stack = ExitStack()
        self.after = ExitStack()  # for what the oracle still needs
        self.port = free_port()
        self.keeper = Keeper()
        self.workers: list[Process] = []
        self.users: dict[str, tuple[str, str]] = {}
        self.postgres: PostgresServer | None = None
        self._servers = servers
        self._faults = (folder / "faults.log").open("a", buffering=1)
        self.database_url = self._new_database()
        if setup.broker != "sql":
            messages.empty(setup.broker, servers[setup.broker]["url"])
        self.api: Process | None = None
        self.load = Load(self.port, folder / "client.log", self.users, seed=seed)
        self.threads = 4

    def _new_database(self) -> str:
        if self.setup.database == "sqlite":
            path = self.folder / "greenroom.db"
            shutil.copyfile(self._servers["sqlite_template"], path)
            return f"sqlite:///{path}"
        known = self._servers["postgres"]
        self.postgres = PostgresServer(Path(known["folder"]), port=known["port"], password=known["password"])
        name = "faults_" + self.folder.name.replace("-", "_").replace("+", "_").lower()
        with psycopg.connect(self.postgres.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {known['template']}")
        return self.postgres.url(name)

    # Processes.

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of a process under test."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GREENROOM_", "FAULTS_", "PG"))}
        settings = SETTINGS | {"DATABASE_URL": self.database_url, "PORT": str(self.port)}
        if self.setup.broker != "sql":
            settings["BROKER_URL"] = self._servers[self.setup.broker]["url"]
        environment |= {f"GREENROOM_{name}": value for name, value in settings.items()}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "FAULTS_WITHOUT": self.without}
        environment["FAULTS_EXECUTIONS"] = str(self.folder / "executions.log")
        return environment | more

    def start_api(self, **more: str) -> Process:
        """Start the API and wait until it answers and the users are there."""
        self.api = self.keeper.keep(Process("api", api_command(), self.environment(**more), self.folder / "api.log"))
        self.wait(self.is_ready, "answer of the API", seconds=_START_SECONDS)
        return self.api

    def start_worker(self, **more: str) -> Process:
        """Start one worker."""
        number = len(self.workers) + 1
        command = worker_command(self.threads, float(SETTINGS["SHUTDOWN_SECONDS"]))
        worker = Process(f"worker {number}", command, self.environment(**more), self.folder / f"worker-{number}.log")
        self.workers.append(self.keeper.keep(worker))
        return worker

    def begin(self, *, workers: int = 2, users: int = 4, tier: dict[str, int] | None = None, **more: str) -> None:
        """Start the API and workers, make the users, and wait until all is there."""
        for _ in range(workers):
            self.start_worker(**more)
        self.start_api()
        self.make_users(users, tier=tier)
        self.wait_for_workers(workers)

    def is_ready(self) -> bool:
        """Tell whether the API says that it is ready."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=2)) as connection, suppress(OSError, HTTPException):
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        return False

    def make_users(self, count: int, *, tier: dict[str, int] | None = None, name: str = "user") -> list[str]:
        """Make users of two tenants, on a tier of the campaign's own."""
        admin, made = Caller(self.port), []
        tier_name = f"faults-{name}"
        assert admin.call("PUT", f"/tiers/{tier_name}", TIER | (tier or {}))[0] in {200, 201}
        for number in range(count):
            user, tenant = f"{name}{number}", TENANTS[number % 2]
            assert admin.call("PUT", f"/users/{user}", {"tenant": tenant, "tier": tier_name})[0] in {200, 201}
            status, key = admin.call("POST", f"/users/{user}/keys", {})
            assert status == 201, key
            self.users[user] = (tenant, key["key"])
            made.append(user)
        admin.close()
        return made

    def api_child(self) -> int:
        """Find the process that serves the API, below the one that watches it."""
        assert self.api is not None
        api = self.api.pid
        pid: int = self.wait(lambda: next(iter(children(api)), 0), "API process")
        return pid

    # Faults.

    def fault(self, what: str, *, pid: int = 0) -> None:
        """Note that something has been done to the processes."""
        self._write("fault", what, pid)

    def take_out(self, guard: str) -> None:
        """Note that a guard is missing which is none of the processes'."""
        self._write(WITHOUT, guard, 0)

    def heal(self, what: str) -> None:
        """Note that it is over."""
        self._write("heal", what, 0)

    def _write(self, event: str, what: str, pid: int) -> None:
        moment = time.clock_gettime(time.CLOCK_MONOTONIC)
        self._faults.write(json.dumps({"e": event, "t": moment, "what": what, "pid": pid}) + "\n")

    def kill(self, worker: Process) -> None:
        """Kill a worker's process, as an operator's kill -9 or the kernel would."""
        for pid in self.wait(lambda: worker.working, f"process of {worker.name}"):
            self.fault("kill -9", pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def broker_url(self) -> str:
        """Where the broker is reached."""
        return str(self._servers[self.setup.broker]["url"])

    def tell_broker(self, word: str) -> None:
        """Have something done to the broker's server: stop, kill, start, wipe, alarm, calm."""
        tell(self._servers[self.setup.broker]["control"], word)

    # What is seen from outside.

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database with plain SQL."""
        if self.setup.database == "sqlite":
            connection = sqlite3.connect(self.folder / "greenroom.db", timeout=20)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True, connect_timeout=5) as postgres:
            cursor = postgres.execute(sql)
            return [] if cursor.description is None else list(cursor.fetchall())

    def count(self, sql: str) -> int:
        """Ask for one number."""
        return int(self.query(sql)[0][0])

    def executions(self) -> list[dict[str, Any]]:
        """Read the execution log."""
        path = self.folder / "executions.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self, look: Callable[[], Any], what: str, *, seconds: float = 30.0) -> Any:
        """Look until there is something, and give it.

        :raises FaultError: it did not come.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            with suppress(psycopg.OperationalError, sqlite3.OperationalError):
                if found := look():
                    return found
            if time.monotonic() > deadline:
                raise FaultError(f"within {seconds:g} s there was no {what}")
            time.sleep(_LOOK_SECONDS)

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers live."""
        self.wait(
            lambda: self.count("SELECT count(*) FROM workers WHERE dead_at IS NULL") >= count, "worker", seconds=_START_SECONDS
        )

    def wait_until_all_work(self) -> None:
        """Wait until every worker that was started, or started again, has entered itself."""

        def work() -> bool:
            entered = {line["pid"] for line in self.executions() if line["e"] == "worker"}
            return all(set(worker.working) & entered for worker in self.workers)

        self.wait(work, "worker that has been started again", seconds=_START_SECONDS)

    def drain(self, seconds: float = 30.0) -> float:
        """Stop the load and wait until all jobs have ended and all slots are back.

        :param seconds: without any progress for so long it is given up; the oracle then names what is left.
        :returns: how long it took.
        """
        self.load.stop()
        began = moved = time.monotonic()
        seconds = (min(seconds, 12.0) if self.without else seconds) * PATIENCE
        least = None
        while least != 0 and time.monotonic() - moved < seconds:
            with suppress(psycopg.OperationalError, sqlite3.OperationalError):
                left = self.count("SELECT count(*) FROM jobs WHERE status IN ('queued', 'processing') OR slot")
                if least is None or left < least:
                    least, moved = left, time.monotonic()
            time.sleep(_LOOK_SECONDS)
        return time.monotonic() - began

    def stale(self) -> list[str]:
        """Say which guards of a negative control were not where they were looked for, or were never missed by anybody."""
        said = self.executions()
        words = [f"{line['guard']}: {line['words']}" for line in said if line["e"] == STALE]
        missed = {line["guard"] for line in said if line["e"] == WITHOUT}
        for line in (self.folder / "faults.log").read_text().splitlines():
            fault = json.loads(line)
            missed |= {fault["what"]} if fault["e"] == WITHOUT else set()
        never = set(filter(None, self.without.split(","))) - missed
        return [*dict.fromkeys(words), *(f"{guard}: nothing that ran would have asked it" for guard in sorted(never))]

    # The verdict.

    def figure(self, name: str, value: Any) -> None:
        """Report a figure of the row's own."""
        self.verdict.figures[name] = round(value, 3) if isinstance(value, float) else value

    def expect(self, holds: object, words: str) -> None:
        """Note a violation of what the row itself promises."""
        if not holds:
            self.verdict.problems.append(words)

    def judge(self) -> dict[str, Any]:
        """Have the oracle judge, in a process of its own."""
        said = subprocess.run(
            [sys.executable, "-m", "tests.faults.oracle", "--database", self.database_url, "--client", self.folder / "client.log",
             "--executions", self.folder / "executions.log", "--faults", self.folder / "faults.log"],
            capture_output=True, text=True, check=False, timeout=120, cwd=ROOT,
        )  # fmt: skip
        if not said.stdout:
            raise FaultError(f"the oracle said nothing: {said.stderr[-2000:]}")
        judgement: dict[str, Any] = json.loads(said.stdout)
        return judgement

    def close(self) -> None:
        """End everything."""
        self.keeper.close()
        self.stack.close()
