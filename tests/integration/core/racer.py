"""One of several processes that claim and finish at the same time: `python -m tests.integration.core.racer URL SEED`.

In each transaction that takes slots it recounts, under the locks that it holds, what everybody who was given one now
holds. It prints the violations and how many jobs it has done.
"""

import json
import random
import sys
from typing import Any

from sqlalchemy.exc import DBAPIError

from persistence import attempts, counters, dispatch
from persistence.attempts import Ending
from persistence.database import Database, is_repeatable
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests import factories

TYPES = ("race.free", "race.limited")
LIMITS = {"race.limited": "race.limited"}
_IDLE_ROUNDS = 30


def main(url: str, seed: str) -> None:
    """Race until nothing has been there to do for some rounds."""
    database = Database(DatabaseSettings(), url=url)
    chance = random.Random(seed)  # noqa: S311 - a race needs no secrets
    with database.write() as session:
        worker_id = factories.worker(session, TYPES)
    held: list[dispatch.Taken] = []
    violations: list[str] = []
    done = idle = 0
    while idle < _IDLE_ROUNDS:
        try:
            with database.write() as session:
                wanted = dispatch.Wanted(worker_id, [factories.QUEUE], TYPES, 4, 4, limits=LIMITS)
                taken = dispatch.take(session, wanted)
                found = over_limit(session, taken)
            held += taken
            violations += found
            chance.shuffle(held)
            ended, held = held[: len(held) // 2 + 1], held[len(held) // 2 + 1 :]
            if ended:
                done += finish(database, worker_id, ended, chance)
            idle = 0 if taken or ended else idle + 1
        except DBAPIError as error:
            if not is_repeatable(error):
                raise
    json.dump({"done": done, "violations": violations}, sys.stdout)


def over_limit(session: Any, taken: list[dispatch.Taken]) -> list[str]:
    """Recount the slots of whoever was just given one."""
    found = []
    for user in {job.user_id for job in taken}:
        held, most = run(
            session,
            """SELECT (SELECT count(*) FROM jobs WHERE user_id = :user AND slot),
                (SELECT max_running FROM tiers t JOIN users u ON u.tier = t.name WHERE u.id = :user)""",
            user=user,
        ).one()
        if held > most:
            found.append(f"user {user} holds {held} of {most}")
    if any(job.type in LIMITS for job in taken):
        sql = "SELECT (SELECT count(*) FROM jobs WHERE type = 'race.limited' AND slot), (SELECT max_held FROM type_limits)"
        held, most = run(session, sql).one()
        if held > most:
            found.append(f"type holds {held} of {most}")
    return found


def finish(database: Database, worker_id: str, ended: list[dispatch.Taken], chance: random.Random) -> int:
    """End attempts, some of them to be made again."""
    outcomes = [
        factories.outcome(job, Ending.COMPLETED, result="1")
        if job.attempt >= 2 or chance.random() < 0.8
        else factories.outcome(job, Ending.RETRY, error='{"type":"E","message":"m","retryable":true,"attempt":1}')
        for job in ended
    ]
    with database.write() as session:
        users = counters.lock_users(session, {outcome.user_id for outcome in outcomes})
        return len(attempts.finish(session, worker_id, outcomes, users))


if __name__ == "__main__":
    main(*sys.argv[1:])
