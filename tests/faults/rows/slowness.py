"""A database that is slow, locked or silent."""

import http.client
import subprocess
import threading
import time

import psycopg

from tests.faults.proxy import Proxy
from tests.faults.row import POSTGRESQL, row
from tests.faults.setups import DEFAULT_LEASE, SETTINGS
from tests.faults.trial import Trial


def _through(trial: Trial, proxy: Proxy) -> dict[str, str]:
    """Give the environment of a process that reaches the database through a proxy."""
    assert trial.postgres is not None
    trial.stack.callback(proxy.close)
    name = trial.database_url.rsplit("/", 1)[1]
    return {"GREENROOM_DATABASE_URL": trial.postgres.url(name, port=proxy.port)}


@row(
    "F12", "no packet passes between one worker and the database for three leases (iptables)", "the worker ends itself",
    databases=POSTGRESQL, figures=("self_stop_seconds",),
)  # fmt: skip
def cut_worker_off(trial: Trial) -> None:
    """Drop what goes to and comes from the port through which one worker reaches the database."""
    assert trial.postgres is not None
    proxy = Proxy(trial.postgres.port)
    worker = trial.start_worker(**_through(trial, proxy))
    trial.begin(workers=1)
    trial.wait_for_workers(2)
    trial.load.start(rate=40, ms=(20, 200))
    time.sleep(3.0)
    (pid,) = trial.wait(lambda: worker.working, "process of the worker")
    with Dropped(proxy.port):
        trial.fault("packets dropped", pid=pid)
        began = time.monotonic()
        trial.wait(lambda: pid not in worker.working, "end of the worker that is cut off", seconds=30)
        trial.figure("self_stop_seconds", time.monotonic() - began)
        time.sleep(max(0.0, 3 * float(SETTINGS["LEASE_SECONDS"]) - (time.monotonic() - began)))
    trial.heal("packets")
    trial.wait_for_workers(2)
    trial.drain(40)


class Dropped:
    """Lets no packet to or from a port of 127.0.0.1 pass, for the length of a block.

    :raises NotImplementedError: the machine does not let us.
    """

    def __init__(self, port: int, *, to_port: bool = True, from_port: bool = True) -> None:
        self._rules = []
        if to_port:
            self._rules.append(["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP"])
        if from_port:
            self._rules.append(["INPUT", "-i", "lo", "-p", "tcp", "--sport", str(port), "-j", "DROP"])

    def __enter__(self) -> None:
        for rule in self._rules:
            try:
                subprocess.run(["iptables", "-w", "5", "-A", *rule], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                self.__exit__()
                raise NotImplementedError(f"iptables does not work here: {error}") from error

    def __exit__(self, *error: object) -> None:
        for rule in self._rules:
            subprocess.run(["iptables", "-w", "5", "-D", *rule], check=False, capture_output=True)


@row(
    "F14", "half-open connections between API and database, without a reset (iptables; 120 s, short form 25 s)",
    "no caller hangs for longer than the time-outs say", databases=POSTGRESQL, deadline_seconds=150,
    figures=("silent_seconds", "longest_hang", "recovered_in"),
)  # fmt: skip
def half_open(trial: Trial) -> None:
    """Drop all packets on the way of the API, ask it for this and that, and look how long each answer takes."""
    assert trial.postgres is not None
    proxy = Proxy(trial.postgres.port)
    trial.start_worker()
    trial.start_api(**_through(trial, proxy))
    trial.make_users(4)
    trial.wait_for_workers(1)
    trial.load.start(rate=20, ms=(10, 50), keyed=1.0)
    time.sleep(3.0)
    silence = 120.0 if trial.is_long else 25.0
    hangs: list[float] = []
    ends = threading.Event()
    askers = [threading.Thread(target=_ask, args=(trial, path, hangs, ends)) for path in ("/jobs?limit=1", "/jobs", "/queue")]
    with Dropped(proxy.port):
        trial.fault("packets dropped")
        for asker in askers:
            asker.start()
        time.sleep(silence)
        ends.set()
    began = time.monotonic()
    trial.heal("packets")
    trial.wait(trial.is_ready, "answer of the API", seconds=60)
    before = trial.load.answers
    trial.wait(lambda: trial.load.answers > before, "accepted job", seconds=60)
    trial.figure("recovered_in", time.monotonic() - began)
    for asker in askers:
        asker.join(60)
    trial.drain(60)
    trial.figure("silent_seconds", silence)
    trial.figure("longest_hang", max(hangs, default=0.0))
    trial.expect(max(hangs, default=0.0) <= 35.0, f"a caller waited {max(hangs, default=0.0):.0f} s for an answer")
    trial.expect(trial.load.unresolved == 0, f"{trial.load.unresolved} requests were never answered")


def _ask(trial: Trial, path: str, hangs: list[float], ends: threading.Event) -> None:
    while not ends.is_set():
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", trial.port, timeout=50)
        try:
            connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {trial.users['user0'][1]}"})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        hangs.append(time.monotonic() - began)


@row(
    "F22", "200 ms on every query's way; a table locked for 30 s (short form 12 s); a pool of four connections; default leases",
    "nobody loses a lease over it", databases=POSTGRESQL, deadline_seconds=240,
    figures=("jobs_under_delay", "false_lease_losses"),
)  # fmt: skip
def slow_database(trial: Trial) -> None:
    """Delay what workers and API send, then lock the table of jobs."""
    assert trial.postgres is not None
    proxy = Proxy(trial.postgres.port)
    slow = _through(trial, proxy) | DEFAULT_LEASE | {"GREENROOM_DATABASE_POOL": "4", "GREENROOM_RESEND_SECONDS": "60"}
    trial.threads = 40 if trial.is_long else trial.threads
    trial.start_worker(**slow)
    trial.start_worker(**slow)
    trial.start_api(**_through(trial, proxy))
    trial.make_users(4, tier={"max_running": 50})
    trial.wait_for_workers(2)
    proxy.delay_seconds = 0.2
    trial.fault("200 ms a query")
    trial.load.start(rate=10, ms=(5, 30), keyed=1.0)
    wanted = 10_000 if trial.is_long else 150
    for user in trial.users:  # each request of the load takes seconds: by itself it would never come to so many
        trial.load.submit_many(user, wanted // 4, ms=15)
    done = "SELECT count(*) FROM jobs WHERE status = 'completed'"
    trial.wait(lambda: trial.count(done) >= wanted, f"{wanted} jobs", seconds=wanted / 3 + 60)
    trial.figure("jobs_under_delay", trial.count(done))
    proxy.delay_seconds = 0.0
    _lock(trial, 30.0 if trial.is_long else 12.0)
    trial.drain(60)
    losses = sum(line["e"] in {"dead", "lease_lost"} for line in trial.executions())
    trial.figure("false_lease_losses", losses)
    trial.expect(losses == 0, f"{losses} leases were lost over a slow database")


def _lock(trial: Trial, seconds: float) -> None:
    with psycopg.connect(trial.database_url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        trial.fault("table locked")
        time.sleep(seconds)
        connection.rollback()
    trial.heal("table")
