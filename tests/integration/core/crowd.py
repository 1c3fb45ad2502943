"""A crowd: threads that do everything to the same few jobs at once, as all callers, workers and sweepers together do."""

import random
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from persistence import (
    admission,
    attempts,
    cancellation,
    counters,
    dead_letters,
    dependencies,
    dispatch,
    due,
    parking,
    replays,
    rescue,
    resend,
    run_control,
    workers,
)
from persistence.attempts import Ending
from persistence.database import Database, is_repeatable
from persistence.errors import GreenroomError
from persistence.runs import NewRun, OnFailure
from tests import factories

ERROR = '{"type":"E","message":"m","retryable":true,"attempt":1}'


class Crowd:
    """Threads that do everything to the same few jobs at once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.claims: list[tuple[str, dispatch.Taken]] = []
        self.messages: list[tuple[str, int]] = []
        self.workers: list[str] = []
        self.jobs: list[str] = []
        self.deadlocks = 0
        with database.write() as session:
            tier = factories.tier(session, "three", max_running=3, max_active=20)
            self.users = [factories.user(session, f"user-{number}", tier=tier) for number in range(3)]
            workers.set_type_limits(session, {factories.TYPE: 4})
            self.workers = [factories.worker(session) for _ in range(3)]

    def act(self, chance: random.Random) -> None:
        """Do one thing in one transaction."""
        acts: list[Callable[[random.Random, Any], Any]] = [
            self.submit, self.take, self.take, self.send, self.claim, self.finish, self.finish, self.finish, self.cancel,
            self.replay, self.lose, self.sweep, self.sweep, self.hold_run,
        ]  # fmt: skip
        act = chance.choice(acts)
        after = None
        try:
            with self.database.write() as session:
                after = act(chance, session)
        except GreenroomError:
            return
        except DBAPIError as error:
            if not is_repeatable(error):
                raise
            self.deadlocks += getattr(error.orig, "sqlstate", None) == "40P01"
            return
        if after is not None:
            after()

    def submit(self, chance: random.Random, session: Any) -> Any:
        """Submit some jobs."""
        parents = tuple(chance.sample(self.jobs[-5:], k=min(1, len(self.jobs)))) if chance.random() < 0.2 else ()
        user = chance.choice(self.users)
        run = NewRun("crowd", chance.choice(list(OnFailure))) if chance.random() < 0.5 else None
        asked = factories.submissions(2, depends_on=parents, tags=chance.choice([(), ("model:a",), ("model:b", "x")]))
        answer = admission.submit(session, [admission.Unit(user, asked, run=run)])[0]
        return None if isinstance(answer, Exception) else lambda: self.jobs.extend(answer.ids)

    def take(self, chance: random.Random, session: Any) -> Any:
        """Claim."""
        worker = chance.choice(self.workers)
        taken = factories.take(session, worker, room=3, limits={factories.TYPE: factories.TYPE})
        return lambda: self.claims.extend((worker, job) for job in taken)

    def send(self, chance: random.Random, session: Any) -> Any:
        """Dispatch."""
        words = {"mode": dispatch.Mode.SEND, "limits": {factories.TYPE: factories.TYPE}}
        taken = factories.take(session, None, room=2, **words)  # type: ignore[arg-type]
        return lambda: self.messages.extend((job.id, job.dispatch_no) for job in taken)

    def claim(self, chance: random.Random, session: Any) -> Any:
        """Claim by messages, in any order."""
        worker = chance.choice(self.workers)
        messages = chance.sample(self.messages, k=min(3, len(self.messages)))
        taken = attempts.claim(session, worker, messages)
        return lambda: self.claims.extend((worker, job) for job in taken.values())

    def finish(self, chance: random.Random, session: Any) -> None:
        """End attempts, also of claims that are long lost."""
        if not self.claims:
            return
        worker = chance.choice(self.claims)[0]
        mine = {job.id: job for owner, job in self.claims[-12:] if owner == worker}
        outcomes = []
        for job in list(mine.values())[:3]:
            ending = chance.choice([Ending.COMPLETED, Ending.RETRY, Ending.FAILED, Ending.SNOOZED, Ending.HANDED_BACK])
            words = {"error": ERROR, "fingerprint": "f"} if ending in {Ending.RETRY, Ending.FAILED} else {}
            outcomes.append(factories.outcome(job, ending, **words))
        if outcomes:
            users = counters.lock_users(session, {outcome.user_id for outcome in outcomes})
            attempts.finish(session, worker, outcomes, users)

    def cancel(self, chance: random.Random, session: Any) -> None:
        """Cancel some."""
        cancellation.cancel_many(session, job_ids=chance.sample(self.jobs, k=min(3, len(self.jobs))), user_id=None)

    def replay(self, chance: random.Random, session: Any) -> None:
        """Replay one or all."""
        letters = dead_letters.listed(session, user_id=None, limit=20)
        if letters and chance.random() < 0.5:
            replays.replay(session, letter_id=chance.choice(letters).id, user_id=None)
        else:
            replays.replay_many(session, user_id=None)

    def lose(self, chance: random.Random, session: Any) -> Any:
        """Lose a worker, and start another."""
        if chance.random() < 0.7:
            return None
        workers.leave(session, worker_id=chance.choice(self.workers))
        fresh = factories.worker(session)
        return lambda: self.workers.append(fresh)

    def sweep(self, chance: random.Random, session: Any) -> None:
        """Do a step of the sweeper's."""
        steps: list[Callable[[Any], Any]] = [rescue.rescue, due.promote, dependencies.settle, resend.take_back, parking.settle]
        chance.choice(steps)(session)

    def hold_run(self, chance: random.Random, session: Any) -> None:
        """Pause a run, let it go on, or cancel it."""
        runs = [str(run.id) for run in session.connection().exec_driver_sql("SELECT id FROM runs WHERE finished_at IS NULL")]
        if not runs:
            return
        chosen = chance.choice(runs)
        session.rollback()  # they have transactions of their own
        chance.choice([run_control.pause, run_control.resume, run_control.cancel])(self.database, run_id=chosen, user_id=None)
