"""A disk that is full, under the database."""

import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.faults.campaign import EFFECTS, migrate
from tests.faults.row import row
from tests.faults.servers import PostgresServer
from tests.faults.trial import Trial

_PADDING = "x" * 40_000
_MEBIBYTES = {"sqlite": 24, "postgresql": 220}


@row(
    "F15", "the database's disk is full (tmpfs), and has room again later",
    "503 and never a 2xx that is not committed; no hang",
    deadline_seconds=200,
    figures=("refused_with_503", "accepted_while_full", "slowest_answer", "server_restarts", "recovered_in"),
)  # fmt: skip
def fill_disk(trial: Trial) -> None:
    """Fill what is left of the disk, go on submitting, and delete the ballast."""
    disk = Path(tempfile.mkdtemp(prefix="greenroom-faults-disk-"))
    _mount(trial, disk, _MEBIBYTES[trial.setup.database])
    server = _move(trial, disk)
    trial.begin(workers=1)
    trial.load.start(rate=20, ms=(5, 20), keyed=1.0, pad=_PADDING)
    trial.wait(lambda: trial.load.answers > 20, "accepted jobs")
    ballast = disk / "ballast"
    trial.fault("disk full")
    _fill(ballast)
    trial.wait(lambda: _refusals(trial) > 5, "503", seconds=60)
    before, began = trial.load.answers, time.monotonic()
    while time.monotonic() - began < 4.0:
        _fill(ballast)
        time.sleep(0.1)
    trial.figure("accepted_while_full", trial.load.answers - before)
    ballast.unlink()
    trial.heal("disk")
    began, restarts = time.monotonic(), 0
    before = trial.load.answers

    def accepts() -> bool:
        nonlocal restarts
        if server is not None and not server.is_running():
            restarts += 1  # as whoever runs the server's service would: without room for its log it ends itself
            with suppress(Exception):  # it says itself in its log why it does not start, and is tried again
                server.start()
        return trial.load.answers > before

    trial.wait(accepts, "accepted job", seconds=60)
    trial.figure("recovered_in", time.monotonic() - began)
    trial.figure("server_restarts", restarts)
    trial.figure("refused_with_503", _refusals(trial))
    trial.drain(60)
    trial.figure("slowest_answer", trial.load.longest)
    others = {error for error in trial.load.errors if error.isdigit()} - {"503"}
    trial.expect(not others, f"callers were answered with {trial.load.errors}")
    trial.expect("TimeoutError" not in trial.load.errors, f"callers were left hanging: {trial.load.errors}")
    trial.expect(trial.load.unresolved == 0, f"{trial.load.unresolved} requests were never answered")


def _refusals(trial: Trial) -> int:
    return trial.load.errors.get("503", 0)


def _mount(trial: Trial, disk: Path, mebibytes: int) -> None:
    trial.after.callback(shutil.rmtree, disk, ignore_errors=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotImplementedError(f"no tmpfs can be mounted here: {error}") from error
    trial.after.callback(lambda: subprocess.run(["umount", "--lazy", disk], check=False))


def _move(trial: Trial, disk: Path) -> PostgresServer | None:
    """Put the trial's database onto the disk."""
    if trial.setup.database == "sqlite":
        place = disk / "greenroom.db"
        place.write_bytes((trial.folder / "greenroom.db").read_bytes())
        (trial.folder / "greenroom.db").unlink()
        (trial.folder / "greenroom.db").symlink_to(place)
        trial.database_url = f"sqlite:///{place}"
        return None
    folder = disk / "postgres"
    folder.mkdir()
    disk.chmod(0o755)
    server = PostgresServer.made(folder)
    with (folder / "db" / "postgresql.conf").open("a") as settings:
        settings.write("max_wal_size = 48MB\nmin_wal_size = 32MB\n")
    server.start()
    trial.after.callback(server.stop, "immediate")
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE faults")
    migrate(server.url("faults"))
    with psycopg.connect(server.url("faults").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(EFFECTS)
    trial.database_url = server.url("faults")
    return server


def _fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        size = 1 << 20
        while size >= 1:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 4
