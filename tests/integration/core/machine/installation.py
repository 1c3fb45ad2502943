"""What the machine knows of the outside of the database: users, messages under way, and what each process believes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine
from sqlmodel import Session

from persistence import attempts, counters, dispatch, pauses, workers
from persistence.attempts import Ending
from persistence.database import Database
from persistence.statements import run
from tests import factories
from tests.model.world import RUNNING, UNANSWERED

SLOW, FAST, LIMITED, STRANGE = "tests.slow", "tests.fast", "limited.one", "strange.nobody"
KNOWN = (FAST, LIMITED, SLOW)
LIMIT = "limited.*"
LIMITS = {LIMITED: LIMIT}
FAR = datetime(2100, 1, 1, tzinfo=UTC)


class CrashError(Exception):
    """The process ends in the middle of a transaction."""


@dataclass(slots=True)
class Claim:
    """A claim as its process knows it; the stages are the model's."""

    worker: str
    taken: dispatch.Taken
    stage: str = UNANSWERED
    outcome: attempts.Outcome | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Its job and number."""
        return self.taken.id, self.taken.claim_no


@dataclass(slots=True)
class Process:
    """A worker process: its id of the moment, what it has in hand, and which unknown claims its last beat has met."""

    id: str
    mode: str = RUNNING
    hand: list[Claim] = field(default_factory=list)
    missed: set[tuple[str, int]] = field(default_factory=set)

    def of(self, *stages: str) -> list[Claim]:
        """List what it has in hand at some stages."""
        return [claim for claim in self.hand if claim.stage in stages]


class Installation(RuleBasedStateMachine):
    """A database, and all that is outside of it; the rules are in the classes that build on this one."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.sql = False
        self.users: list[str] = []
        self.jobs: list[str] = []
        self.processes: list[Process] = []
        self.messages: list[tuple[str, int]] = []
        self.delivered: list[tuple[str, int]] = []
        self.made: list[Claim] = []
        self.written: list[tuple[str, attempts.Outcome]] = []
        self.numbers: dict[str, tuple[int, int]] = {}

    @contextmanager
    def transaction(self, *, crash: bool = False) -> Iterator[Session]:
        """Open a transaction that a crash ends before its commit; the crash is swallowed here."""
        with suppress(CrashError) if crash else nullcontext(), self.database.write() as session:
            yield session
            if crash:
                raise CrashError

    def running(self) -> list[Process]:
        """List the processes that are neither frozen nor gone."""
        return [process for process in self.processes if process.mode == RUNNING]

    def with_claims(self, *stages: str) -> list[Process]:
        """List the running processes that have claims at some stages."""
        return [process for process in self.running() if process.of(*stages)]

    def registered(self) -> str:
        """Enter a new worker."""
        with self.transaction() as session:
            return factories.worker(session, KNOWN, threads=2)

    def is_alive(self, worker: str) -> bool:
        """Tell whether the database takes a worker for alive."""
        return self.row("workers", worker).dead_at is None

    def receive(self, process: Process, taken: Sequence[dispatch.Taken]) -> None:
        """Note claims that are committed, while the reply is under way."""
        claims = [Claim(process.id, job) for job in taken]
        process.hand += claims
        self.made += claims

    def write_outcomes(self, worker: str, outcomes: Sequence[attempts.Outcome], *, crash: bool = False) -> None:
        """Write outcomes; those that are refused may change nothing but the slot of their own claim."""
        before = {outcome.job_id: self.row("jobs", outcome.job_id) for outcome in outcomes}
        steps = self.count("transitions"), self.count("dead_letters")
        written: set[str] = set()
        with self.transaction(crash=crash) as session:
            locked = counters.lock_users(session, {outcome.user_id for outcome in outcomes})
            written = attempts.finish(session, worker, outcomes, locked)
        if crash:
            assert {job_id: self.row("jobs", job_id) for job_id in before} == before
            return
        failed = 0
        follow_ups = 0
        for outcome in outcomes:
            job, after = before[outcome.job_id], self.row("jobs", outcome.job_id)
            assert (outcome.job_id in written) == self.holds(job, worker, outcome.claim_no), "A5: the fence"
            if outcome.job_id in written:
                failed += outcome.ending is Ending.FAILED
                if job.run_id is None or self.row("runs", str(job.run_id)).cancelled_at is None:
                    follow_ups += len(outcome.follow_ups)
                    self.jobs += [submission.id for submission in outcome.follow_ups]
                continue
            released = job.status == "cancelled" and job.claim_no == outcome.claim_no and bool(job.slot)
            assert after._asdict() == {**job._asdict(), "slot": job.slot and not released}
        now = self.count("transitions"), self.count("dead_letters")
        assert now == (steps[0] + len(written) + follow_ups, steps[1] + failed)
        self.written += [(worker, outcome) for outcome in outcomes]

    def within_limits(self, session: Session, taken: Sequence[dispatch.Taken]) -> None:
        """Count the slots of everybody who was just given one, in the transaction that gave them."""
        for user_id in {job.user_id for job in taken}:
            held = run(session, "SELECT count(*) FROM jobs WHERE user_id = :user AND slot", user=user_id).scalar_one()
            sql = "SELECT max_running FROM tiers t JOIN users u ON u.tier = t.name WHERE u.id = :user"
            assert held <= run(session, sql, user=user_id).scalar_one(), "A3"
        if any(job.type == LIMITED for job in taken):
            held = run(session, "SELECT count(*) FROM jobs WHERE type = :type AND slot", type=LIMITED).scalar_one()
            assert held <= run(session, "SELECT max_held FROM type_limits").scalar_one(), "A3"

    def open_to(self, session: Session, taken: Sequence[dispatch.Taken]) -> None:
        """Check that nothing of a paused scope was taken."""
        paused = pauses.in_force(session)
        for job in taken:
            covered = {"type": job.type, "user_id": job.user_id, "queue": job.queue, "run_id": job.run_id}
            assert not any(scope.covers(**covered) for scope in paused)

    @staticmethod
    def holds(job: Any, worker: str, claim_no: int) -> bool:
        """Tell whether a claim is still good."""
        return (job.status, job.claim_no, str(job.worker_id), bool(job.slot)) == ("processing", claim_no, worker, True)

    def row(self, table: str, id: str) -> Any:
        """Read one row."""
        with self.database.read() as session:
            return factories.fetch(session, table, id)

    def rows(self, sql: str, **words: Any) -> list[Any]:
        """Read rows."""
        with self.database.read() as session:
            return list(run(session, sql, **words).all())

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def jobs_of(self, user_id: str) -> list[str]:
        """List a user's jobs."""
        return [str(row.id) for row in self.rows("SELECT id FROM jobs WHERE user_id = :user ORDER BY id", user=user_id)]

    def limit_of(self, user_id: str, limit: str) -> int:
        """Read one limit of a user's tier."""
        sql = f"SELECT {limit} FROM tiers t JOIN users u ON u.tier = t.name WHERE u.id = :user"
        return int(self.rows(sql, user=user_id)[0][0])

    def begin_with(self, running: Sequence[int], active: int, most: int) -> None:
        """Empty the database and enter users of several tiers and two workers."""
        with self.database.write() as session:
            clear(session)
            for number, slots in enumerate(running):
                tier = factories.tier(session, f"tier-{number}", max_running=slots, max_active=active, weight=number + 1)
                self.users.append(factories.user(session, f"user-{number}", tier=tier))
            workers.set_type_limits(session, {LIMIT: most})
        self.processes = [Process(self.registered()) for _ in range(2)]


def end_of(taken: dispatch.Taken, ending: Ending, *, later: bool = False, follows: bool = False) -> attempts.Outcome:
    """Describe an attempt's end as a worker would; a retry without attempts left is a failure."""
    if ending is Ending.RETRY and taken.attempt >= taken.max_attempts:
        ending = Ending.FAILED
    words: dict[str, Any] = {"seconds": 0.02}
    if ending is Ending.COMPLETED:
        words["result"] = "1"
        words["follow_ups"] = [factories.submission(FAST)] if follows else []
    if ending in {Ending.RETRY, Ending.FAILED}:
        words["error"] = '{"type":"ValueError","message":"no","retryable":true,"attempt":1}'
    if ending in {Ending.RETRY, Ending.SNOOZED}:
        words["delay_seconds"] = 3600.0 if later else 0.0
    if ending is Ending.FAILED:
        words["fingerprint"] = "f"
    return factories.outcome(taken, ending, **words)


def let_time_pass(session: Session) -> None:
    """Make every moment that a job waits for one of the past."""
    run(session, "UPDATE jobs SET run_after = :then WHERE run_after IS NOT NULL", then="2001-01-01 00:00:00.000000")


# For properties whose examples share a database, and clear it themselves.
clears_itself = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def clear(session: Session) -> None:
    """Empty the database but for what it is shipped with."""
    run(session, "DELETE FROM jobs")
    if session.get_bind().dialect.name == "postgresql":
        run(session, "SELECT prune_transitions(array(SELECT DISTINCT job_id FROM transitions))")
    for table in ("transitions",) if session.get_bind().dialect.name == "sqlite" else ():
        run(session, f"DELETE FROM {table}")
    for table in ("schedules", "runs", "users", "tenants", "workers", "pauses", "type_limits"):
        run(session, f"DELETE FROM {table}")
