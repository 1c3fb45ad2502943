"""The database goes away: stopped as in a crash, behind a network that loses what it carries, frozen, or full."""

import time

from tests.faults.proxy import Proxy
from tests.faults.row import POSTGRESQL, row
from tests.faults.trial import Trial


@row(
    "F10", "the database server is stopped as in a crash and started again (SQLite: all processes are killed at once)",
    "no 2xx without a commit", figures=("outage_seconds", "accepted_during", "drained_in"),
)  # fmt: skip
def stop_database(trial: Trial) -> None:
    """Stop it under load, let it be away for longer than a lease, and start it again."""
    if trial.setup.database == "postgresql":
        _set_durability(trial)
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(20, 200), keyed=0.7)
    outage = 0.0
    for _ in range(10 if trial.is_long else 2):
        _wait_for_answers(trial, 40)
        trial.fault("database stopped")
        began = time.monotonic()
        if trial.postgres is None:
            _kill_all(trial)
        else:
            trial.postgres.stop("immediate")
            before = trial.load.answers
            time.sleep(3.0)
            trial.figure("accepted_during", trial.load.answers - before)
            trial.expect(trial.load.answers == before, "jobs were accepted while there was no database")
            trial.postgres.start()
        trial.heal("database")
        _wait_for_answers(trial, 1)
        outage = max(outage, time.monotonic() - began)
    trial.figure("outage_seconds", outage)
    trial.figure("drained_in", trial.drain(60))


def _set_durability(trial: Trial) -> None:
    """For a negative control: let the server answer a commit before it is on the disk."""
    assert trial.postgres is not None
    if "durability" in trial.without:
        name = trial.database_url.rsplit("/", 1)[1]
        trial.query(f"ALTER DATABASE {name} SET synchronous_commit = off")
        # Nor is anybody else to write the log out meanwhile, for a commit is lost only as long as nobody has.
        trial.stack.callback(trial.query, "SELECT pg_reload_conf()")
        for setting, value in (("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB"), ("bgwriter_lru_maxpages", "0")):
            trial.query(f"ALTER SYSTEM SET {setting} = '{value}'")
            trial.stack.callback(trial.query, f"ALTER SYSTEM RESET {setting}")
        trial.query("SELECT pg_reload_conf()")
        trial.wait(lambda: trial.query("SHOW synchronous_commit") == [("off",)], "server that does not wait for its disk")
        trial.take_out("durability")


def _kill_all(trial: Trial) -> None:
    for process in trial.keeper.processes:
        for pid in process.kill():
            trial.fault("kill -9", pid=pid)


def _wait_for_answers(trial: Trial, more: int) -> None:
    wanted = trial.load.answers + more
    trial.wait(lambda: trial.load.answers >= wanted, f"{more} further accepted jobs", seconds=60)


@row(
    "F11", "COMMIT reaches the database and its reply does not come back", "every doubt is settled by reading again",
    databases=POSTGRESQL, figures=("replies_lost", "handed_back", "unresolved"),
)  # fmt: skip
def lose_replies(trial: Trial) -> None:
    """Lose every twentieth reply to a COMMIT of the API and of the workers."""
    assert trial.postgres is not None
    proxy = Proxy(trial.postgres.port, seed=trial.seed, on_lost=lambda: trial.fault("reply lost"))
    trial.stack.callback(proxy.close)
    direct = trial.database_url
    trial.database_url = trial.postgres.url(direct.rsplit("/", 1)[1], port=proxy.port)
    trial.begin(workers=2)
    trial.database_url = direct
    trial.load.start(rate=40, ms=(10, 100), keyed=1.0)
    proxy.loses_commits = 0.05
    wanted = 500 if trial.is_long else 30
    trial.wait(lambda: proxy.lost >= wanted, f"{wanted} lost replies", seconds=wanted * 3)
    proxy.loses_commits = 0.0
    trial.drain()
    trial.figure("replies_lost", proxy.lost)
    trial.figure("handed_back", trial.count("SELECT count(*) FROM transitions WHERE reason = 'claim unknown to its worker'"))
    trial.expect(trial.load.unresolved == 0, f"{trial.load.unresolved} requests were never answered")
