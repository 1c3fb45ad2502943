"""Verify on a live system: whatever is under way while it reads, it finds nothing that is not there."""

import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from persistence.database import Database
from persistence.errors import JobFinishedError
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.verify import verify
from tests.integration.core.crowd import Crowd
from tests.integration.core.house import House
from tests.integration.core.repertoire import Repertoire

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[3]
CROWD = 5
READINGS = 20


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open the test's own database with a connection for every thread."""
    database = Database(DatabaseSettings(database_pool=20), url=database_url)
    yield database
    database.close()


def read_while(database: Database, act: Callable[[random.Random], None]) -> tuple[list[str], int]:
    """Let several threads act until verify has read everything several times.

    :returns: what it found, and how many transitions there were in the end.
    """
    over = threading.Event()

    def act_on(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a load needs no secrets
        while not over.is_set():
            act(chance)

    found: list[str] = []
    steps = set()
    with ThreadPoolExecutor(CROWD) as pool:
        acting = [pool.submit(act_on, seed) for seed in range(CROWD)]
        try:
            # As often as it takes to have read some different moments.
            for _ in itertools.count():
                with database.read() as session:
                    found += map(str, verify(session))
                    steps.add(run(session, "SELECT count(*) FROM transitions").scalar_one())
                if found or len(steps) >= READINGS or any(one.done() for one in acting):
                    break
            # As a process: within this one it would take the workers' standard output as well.
            said = subprocess.run(
                [sys.executable, "-c", "from api.cli import main; main()", "verify"],
                capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"GREENROOM_DATABASE_URL": database.url},
            )  # fmt: skip
        finally:
            over.set()
        for one in acting:
            one.result()
    assert (said.returncode, said.stdout) == (0, "A1 to A6 hold.\n"), said.stderr
    return found, max(steps)


def test_a_crowd_breaks_nothing(database: Database) -> None:
    """While threads submit, claim, end, cancel, replay, lose workers and sweep, every reading finds a sound database."""
    crowd = Crowd(database)
    found, steps = read_while(database, crowd.act)
    assert found == []
    assert steps > READINGS


@pytest.mark.parametrize("broker", ["sql", "stub"])
def test_a_working_house_breaks_nothing(database_url: str, broker: str) -> None:
    """While a worker drains what callers submit and cancel, completing and failing, every reading finds a sound database."""
    house = House(database_url, broker=broker, claim_ahead_seconds=1.0)
    with house.declaring():
        plays = Repertoire()
    house.open(threads=4)

    def call(chance: random.Random) -> None:
        jobs = [house.submit(plays.square, {"number": number}) for number in range(3)]
        jobs.append(house.submit(plays.gives_up))
        jobs.append(house.submit(plays.square, depends_on=(jobs[0], chance.choice(jobs))))
        try:
            house.cancel(chance.choice(jobs))
        except JobFinishedError:
            return

    found, _ = read_while(house.database, call)
    house.shut()
    fatal, ended = house.fatal, {row.status for row in house.select("SELECT DISTINCT status FROM jobs")}
    house.close()
    assert (found, fatal) == ([], [])
    assert {"completed", "failed", "cancelled"} <= ended
