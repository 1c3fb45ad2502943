"""Races of real processes and threads on PostgreSQL: limits hold, one wins, and nobody waits for ever."""

import itertools
import json
import random
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from persistence import (
    admission,
    counters,
    dependencies,
    dispatch,
    due,
    parking,
    pauses,
    rescue,
    resend,
    run_control,
    workers,
)
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import ConcurrentJobLimitError
from persistence.settings import DatabaseSettings
from persistence.statements import run
from persistence.verify import verify
from tests import factories
from tests.integration.core.crowd import Crowd

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).parents[3]
RACERS = 8
ERROR = '{"type":"E","message":"m","retryable":true,"attempt":1}'


@pytest.fixture
def database(postgres_database: str) -> Iterator[Database]:
    """Open the test's own database with a connection for every thread; after the test every invariant must hold."""
    database = Database(DatabaseSettings(database_pool=60), url=postgres_database)
    yield database
    with database.read() as session:
        violations = verify(session)
    database.close()
    assert violations == []


@pytest.mark.timeout(180)
def test_racing_processes_never_go_over_a_limit(database: Database) -> None:
    """Eight processes claim for users with five slots each and a type with three: not one instant is over either limit."""
    # given
    with database.write() as session:
        tier = factories.tier(session, "five", max_running=5)
        users = [factories.user(session, f"user-{number}", tier=tier) for number in range(3)]
        workers.set_type_limits(session, {"race.limited": 3})
        for user in users:
            wanted = [factories.submission(kind, max_attempts=5) for kind in ("race.free", "race.limited") * 50]
            factories.submit(session, user, *wanted)
    # when
    command = [sys.executable, "-m", "tests.integration.core.racer", database.url]
    racers = [subprocess.Popen([*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for seed in range(RACERS)]
    said = [json.loads(racer.communicate()[0]) for racer in racers]
    # then
    assert [violation for racer in said for violation in racer["violations"]] == []
    with database.read() as session:
        left = run(session, "SELECT count(*) FROM jobs WHERE status <> 'completed' OR slot").scalar_one()
        steps = run(
            session,
            """SELECT t.user_id, j.type, t.from_status, t.to_status FROM transitions t JOIN jobs j ON j.id = t.job_id
            WHERE 'processing' IN (t.from_status, t.to_status) ORDER BY t.at, t.to_status = 'processing', t.id""",
        ).all()
    assert left == 0
    assert len([racer for racer in said if racer["done"]]) > 1
    most = replayed(steps)
    assert max(most[user] for user in most if user != "race.limited") == 5
    assert most["race.limited"] == 3


def test_an_idle_claimer_waits_for_the_only_user(database: Database) -> None:
    """Where the only user is locked, one who may wait gets the job as soon as it is free, and one who may not gets none."""
    with database.write() as session:
        user = factories.user(session)
        (job,) = factories.submit(session, user)
        worker = factories.worker(session)
    wanted = dispatch.Wanted(worker, [factories.QUEUE], [factories.TYPE], room=1, idle=1)

    def claim(*, may_wait: bool) -> list[str]:
        with database.write() as session:
            return [taken.id for taken in dispatch.take(session, wanted, may_wait=may_wait)]

    with ThreadPoolExecutor(1) as pool:
        with database.write() as busy:
            counters.lock_users(busy, [user])
            assert claim(may_wait=False) == []
            waiting = pool.submit(claim, may_wait=True)
            until_somebody_waits(database)
        assert waiting.result(30) == [job]


def until_somebody_waits(database: Database) -> None:
    """Return when a transaction waits for a lock."""
    for _ in range(10_000):
        with database.read() as session:
            if run(session, "SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one():
                return
    pytest.fail("nobody waits")


def replayed(steps: list[Any]) -> dict[str, int]:
    """Replay the audit trail, and give the most attempts that each user, and the limited type, had at one time."""
    held: defaultdict[str, int] = defaultdict(int)
    most: defaultdict[str, int] = defaultdict(int)
    for user, kind, _, after in steps:
        for name in (str(user), *([kind] if kind == "race.limited" else [])):
            held[name] += 1 if after == "processing" else -1
            most[name] = max(most[name], held[name])
    assert set(held.values()) == {0}
    return most


def test_one_of_fifty_is_let_in(database: Database) -> None:
    """Fifty transactions of a free user at the same moment: exactly one is admitted, 49 are refused with the limit."""
    with database.write() as session:
        user = factories.user(session, tier="free")
    line = threading.Barrier(50)

    def submit(_: int) -> Any:
        line.wait()
        with database.write() as session:
            (answer,) = admission.submit(session, [admission.Unit(user, [factories.submission()])])
            return answer

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(submit, range(50)))

    assert len([answer for answer in answers if isinstance(answer, admission.Admitted)]) == 1
    refused = [answer for answer in answers if isinstance(answer, ConcurrentJobLimitError)]
    assert [error.fields["limit"] for error in refused] == [1] * 49


def test_one_key_is_one_job(database: Database) -> None:
    """Twenty requests with the same key at the same moment give one job, and everybody its id."""
    with database.write() as session:
        user = factories.user(session)
    line = threading.Barrier(20)

    def submit(_: int) -> Any:
        line.wait()
        with database.write() as session:
            unit = admission.Unit(user, [factories.submission()], "key", "hash")
            (answer,) = admission.submit(session, [unit])
            return answer

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(submit, range(20)))
    assert len({answer.ids[0] for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1


def test_a_pause_is_exact(database: Database) -> None:
    """When a pause has committed, nothing in its scope is taken any more, however many dispatches are under way."""
    with database.write() as session:
        user = factories.user(session)
        factories.submit(session, user, *factories.submissions(400))
        worker = factories.worker(session)
    stop = threading.Event()
    period = [0]  # odd while it is paused
    late: list[int] = []

    def take() -> None:
        while not stop.is_set():
            known = period[0]
            with database.write() as session:
                taken = factories.take(session, worker, room=1)
            if taken and known % 2 and period[0] == known:
                late.append(len(taken))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        with database.write() as session:
            pauses.pause(session, pauses.Scope(type=factories.TYPE))
        period[0] += 1
        with database.write() as session:
            assert factories.take(session, worker, room=1) == []
        period[0] += 1
        with database.write() as session:
            pauses.resume(session, pauses.Scope(type=factories.TYPE))
    stop.set()
    for thread in threads:
        thread.join()
    assert late == []


@pytest.mark.timeout(180)
def test_everything_at_once(database: Database) -> None:
    """Eight threads claim, end, cancel, replay, rescue and re-send the same jobs: whatever wins, every invariant holds."""
    crowd = Crowd(database)
    acts = itertools.count()

    def run_about(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a race needs no secrets
        while next(acts) < 1200:
            crowd.act(chance)

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(run_about, range(RACERS)))

    with database.read() as session:
        assert verify(session) == []
    with database.write() as session:
        for worker in crowd.workers:
            workers.leave(session, worker_id=worker)
        last = factories.worker(session)
        run(session, "UPDATE runs SET paused_at = NULL")
    for _ in range(100):
        with database.write() as session:
            for step in (
                rescue.rescue,
                due.promote,
                dependencies.settle,
                resend.take_back,
                parking.settle,
                run_control.cancel_rest,
            ):
                step(session)
            for job in factories.take(session, last, limits={factories.TYPE: factories.TYPE}):
                factories.finish(session, last, job, Ending.COMPLETED, result="1")
            left = run(session, "SELECT count(*) FROM jobs WHERE finished_at IS NULL OR slot").scalar_one()
        if not left:
            break
    assert left == 0
    assert crowd.deadlocks < 20
