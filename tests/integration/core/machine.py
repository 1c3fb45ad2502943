"""Hypothesis drives the verbs of persistence against what a worker, a broker and a caller could do to them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import Session

from persistence import (
    admission,
    attempts,
    cancellation,
    counters,
    dead_letters,
    dependencies,
    dispatch,
    due,
    orphans,
    pauses,
    progress,
    prune,
    replays,
    rescue,
    resend,
    users,
    workers,
)
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError, JobFinishedError
from persistence.statements import run
from persistence.verify import verify
from tests import factories

SLOW, FAST, LIMITED, STRANGE = "tests.slow", "tests.fast", "limited.one", "strange.nobody"
KNOWN = (FAST, LIMITED, SLOW)
LIMIT = "limited.*"
LIMITS = {LIMITED: LIMIT}
FAR = datetime(2100, 1, 1, tzinfo=UTC)
_MOST_ROUNDS = 60

scopes = st.sampled_from([
    pauses.Scope(), pauses.Scope(type=FAST), pauses.Scope(queue=factories.QUEUE), pauses.Scope(type=SLOW, queue="else")
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A claim as the process that made it remembers it."""

    worker: str
    taken: dispatch.Taken


class CrashError(Exception):
    """The process ends in the middle of a transaction."""


class Machine(RuleBasedStateMachine):
    """What is known of the outside: who submitted, which messages are under way, and what each process has in hand."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.users: list[str] = []
        self.workers: list[str] = []
        self.jobs: list[str] = []
        self.messages: list[tuple[str, int]] = []
        self.claims: list[Held] = []
        self.written: list[tuple[str, attempts.Outcome]] = []
        self.numbers: dict[str, tuple[int, int]] = {}

    @contextmanager
    def transaction(self, *, crash: bool = False) -> Iterator[Session]:
        """Open a transaction that a crash ends before its commit."""
        with self.database.write() as session:
            yield session
            if crash:
                raise CrashError

    def crashes(self, crash: bool) -> Any:
        """Swallow the crash that was asked for."""
        return _Crash() if crash else _Calm()

    # The beginning.

    @initialize(running=st.lists(st.integers(1, 3), min_size=2, max_size=3), active=st.integers(2, 8), most=st.integers(1, 2))
    def begin(self, running: list[int], active: int, most: int) -> None:
        """Start with an empty database, users of several tiers and two workers."""
        with self.database.write() as session:
            clear(session)
            for number, slots in enumerate(running):
                tier = factories.tier(session, f"tier-{number}", max_running=slots, max_active=active, weight=number + 1)
                self.users.append(factories.user(session, f"user-{number}", tier=tier))
            workers.set_type_limits(session, {LIMIT: most})
            self.workers = [factories.worker(session, KNOWN, threads=2) for _ in range(2)]

    # What callers do.

    @rule(
        user=st.integers(0, 2),
        count=st.integers(1, 3),
        kind=st.sampled_from([FAST, LIMITED, SLOW, STRANGE]),
        priority=st.integers(0, 10),
        later=st.booleans(),
        tries=st.integers(1, 3),
        key=st.none() | st.sampled_from(["a", "b"]),
        parents=st.lists(st.integers(0, 100), max_size=2),
        crash=st.booleans(),
        repeats=st.booleans(),
    )
    def submit(
        self,
        user: int,
        count: int,
        kind: str,
        priority: int,
        later: bool,
        tries: int,
        key: str | None,
        parents: list[int],
        crash: bool,
        repeats: bool,
    ) -> None:
        """Submit some jobs; the answer to the commit may be lost, so that it is done again."""
        user_id = self.users[user % len(self.users)]
        mine = self.jobs_of(user_id)
        asked = [
            factories.submission(
                kind,
                priority=priority,
                max_attempts=tries,
                run_after=FAR if later else None,
                depends_on=tuple({mine[place % len(mine)] for place in parents} if mine else ()),
            )
            for _ in range(1 if key else count)
        ]
        unit = admission.Unit(user_id, asked, key, "hash" if key else None)
        before = self.row("users", user_id)
        with self.crashes(crash), self.transaction(crash=crash) as session:
            (answer,) = admission.submit(session, [unit])
        if crash:
            assert self.row("users", user_id) == before
            return
        most = self.limit_of(user_id, "max_active")
        if isinstance(answer, ConcurrentJobLimitError):
            assert before.unfinished + len(asked) > most
            return
        assert isinstance(answer, admission.Admitted)
        if answer.replayed:
            assert self.row("users", user_id) == before
            return
        assert before.unfinished + len(asked) <= most
        self.jobs += answer.ids
        if repeats:
            with self.transaction() as session:
                (again,) = admission.submit(session, [unit], repeated=True)
            assert isinstance(again, admission.Admitted)
            assert again.ids == answer.ids

    @precondition(lambda self: self.jobs)
    @rule(places=st.lists(st.integers(0, 1000), min_size=1, max_size=3), crash=st.booleans())
    def cancel(self, places: list[int], crash: bool) -> None:
        """Cancel a job or some at once."""
        ids = [self.jobs[place % len(self.jobs)] for place in places]
        with self.crashes(crash), self.transaction(crash=crash) as session:
            if len(ids) > 1:
                cancellation.cancel_many(session, job_ids=ids, user_id=None)
                return
            status = factories.fetch(session, "jobs", ids[0]).status
            try:
                assert cancellation.cancel(session, job_id=ids[0], user_id=None) == (status in {"queued", "processing"})
            except JobFinishedError:
                assert status in {"completed", "failed"}

    @rule(place=st.integers(0, 1000), repeats=st.booleans())
    def replay(self, place: int, repeats: bool) -> None:
        """Replay a dead letter, pressed once or twice."""
        with self.database.read() as session:
            letters = dead_letters.listed(session, user_id=None, limit=100)
        if not letters:
            return
        letter = letters[place % len(letters)]
        for _ in range(1 + repeats):
            try:
                with self.transaction() as session:
                    replays.replay(session, letter_id=letter.id, user_id=None)
            except ConcurrentJobLimitError:
                assert self.row("users", letter.user_id).unfinished >= self.limit_of(letter.user_id, "max_active")
            except IllegalTransitionError:
                job = self.row("jobs", letter.job_id)
                assert job.status != "failed" or job.claim_no != letter.claim_no

    @rule()
    def replay_all(self) -> None:
        """Replay all dead letters that there is room for."""
        with self.transaction() as session:
            replays.replay_many(session, user_id=None)

    @rule(place=st.integers(0, 1000))
    def throw_letter_away(self, place: int) -> None:
        """Delete a dead letter."""
        with self.transaction() as session:
            letters = dead_letters.listed(session, user_id=None, limit=100)
            if letters:
                dead_letters.delete(session, letter_id=letters[place % len(letters)].id, user_id=None)

    # What operators do.

    @rule(user=st.integers(0, 2), running=st.integers(1, 4), active=st.integers(1, 8))
    def change_tier(self, user: int, running: int, active: int) -> None:
        """Raise or lower a tier under its users."""
        with self.transaction() as session:
            tier = factories.fetch(session, "users", self.users[user % len(self.users)]).tier
            factories.tier(session, tier, max_running=running, max_active=active)

    @rule(user=st.integers(0, 2), tier=st.sampled_from(["tier-0", "tier-1", "free"]))
    def move_user(self, user: int, tier: str) -> None:
        """Put a user into another tier."""
        name = f"user-{user % len(self.users)}"
        with self.transaction() as session:
            users.put(session, name=name, tenant=f"tenant-of-{name}", tier=tier)

    @rule(most=st.integers(1, 3))
    def change_type_limit(self, most: int) -> None:
        """Raise or lower the type limit."""
        with self.transaction() as session:
            workers.set_type_limits(session, {LIMIT: most})

    @rule(scope=scopes, takes_back=st.booleans())
    def pause(self, scope: pauses.Scope, takes_back: bool) -> None:
        """Pause a scope, and take back what was sent and not claimed."""
        with self.transaction() as session:
            pauses.pause(session, scope)
            if takes_back:
                resend.take_back(session)

    @rule(scope=scopes)
    def resume(self, scope: pauses.Scope) -> None:
        """End a pause."""
        with self.transaction() as session:
            pauses.resume(session, scope)

    # What workers do.

    @rule(
        worker=st.integers(0, 5),
        room=st.integers(1, 6),
        idle=st.integers(0, 6),
        kinds=st.sets(st.sampled_from(KNOWN), min_size=1),
        crash=st.booleans(),
        forgets=st.booleans(),
    )
    def take(self, worker: int, room: int, idle: int, kinds: set[str], crash: bool, forgets: bool) -> None:
        """Claim what is next, the SQL broker's way; the answer to the commit may be lost, so that nobody knows of it."""
        worker_id = self.workers[worker % len(self.workers)]
        wanted = dispatch.Wanted(
            worker_id, [factories.QUEUE], kinds, room, min(idle, room), fast=(FAST,), cost_seconds={FAST: 0.01}, limits=LIMITS
        )
        taken: list[dispatch.Taken] = []
        with self.crashes(crash), self.transaction(crash=crash) as session:
            paused = pauses.active(session)
            taken = dispatch.take(session, wanted)
            self.within_limits(session, taken)
        if crash:
            return
        assert len(taken) <= room
        assert not taken or self.row("workers", worker_id).dead_at is None
        for job in taken:
            assert not any(scope.covers(type=job.type, user_id=job.user_id, queue=job.queue) for scope in paused)
            assert not job.ahead or (job.type == FAST and job.rescues == 0 and job.max_attempts - job.attempt >= 1)
        if not forgets:
            self.claims += [Held(worker_id, job) for job in taken]

    @rule(room=st.integers(1, 6), crash=st.booleans())
    def send(self, room: int, crash: bool) -> None:
        """Dispatch messages, which may be published after a crash of the process as well as not."""
        wanted = dispatch.Wanted(None, [factories.QUEUE], KNOWN, room, room, limits=LIMITS)
        taken: list[dispatch.Taken] = []
        with self.crashes(crash), self.transaction(crash=crash) as session:
            taken = dispatch.take(session, wanted, dispatch.Mode.SEND)
            self.within_limits(session, taken)
        self.messages += [(job.id, job.dispatch_no) for job in taken]

    @precondition(lambda self: self.messages)
    @rule(
        worker=st.integers(0, 5),
        places=st.lists(st.integers(0, 1000), min_size=1, max_size=4),
        crash=st.booleans(),
        repeats=st.booleans(),
    )
    def claim(self, worker: int, places: list[int], crash: bool, repeats: bool) -> None:
        """Claim by messages: new, old and duplicate ones, in any order."""
        worker_id = self.workers[worker % len(self.workers)]
        arrived = [self.messages[place % len(self.messages)] for place in places]
        taken: dict[tuple[str, int], dispatch.Taken] = {}
        with self.crashes(crash), self.transaction(crash=crash) as session:
            taken = attempts.claim(session, worker_id, arrived)
        if crash:
            return
        self.claims += [Held(worker_id, job) for job in taken.values()]
        if repeats:
            with self.transaction() as session:
                assert attempts.claim(session, worker_id, arrived) == {}

    @precondition(lambda self: self.claims)
    @rule(
        places=st.lists(st.integers(0, 1000), min_size=1, max_size=3),
        endings=st.lists(st.sampled_from(Ending), min_size=3, max_size=3),
        later=st.booleans(),
        follows=st.booleans(),
        crash=st.booleans(),
        repeats=st.booleans(),
    )
    def finish(self, places: list[int], endings: list[Ending], later: bool, follows: bool, crash: bool, repeats: bool) -> None:
        """End attempts of one worker, among them some that have lost their claim long ago; perhaps twice."""
        first = self.claims[places[0] % len(self.claims)]
        held = [self.claims[place % len(self.claims)] for place in places]
        mine = {claim.taken.id: claim.taken for claim in [*held, first] if claim.worker == first.worker}
        outcomes = [
            end_of(taken, ending, later=later, follows=follows) for taken, ending in zip(mine.values(), endings, strict=False)
        ]
        self.write_outcomes(first.worker, outcomes, crash=crash)
        if crash:
            return
        if repeats:
            self.write_outcomes(first.worker, outcomes)

    @precondition(lambda self: self.written)
    @rule(place=st.integers(0, 1000))
    def wake_up_late(self, place: int) -> None:
        """Write an outcome again that was written, or refused, some time ago."""
        worker_id, outcome = self.written[place % len(self.written)]
        self.write_outcomes(worker_id, [outcome])

    @precondition(lambda self: self.claims)
    @rule(place=st.integers(0, 1000), percent=st.floats(0, 100))
    def say_progress(self, place: int, percent: float) -> None:
        """Write the progress of a claim, which only one that still holds may."""
        held = self.claims[place % len(self.claims)]
        before = self.row("jobs", held.taken.id)
        with self.transaction() as session:
            progress.write(session, worker_id=held.worker, steps=[(held.taken.id, held.taken.claim_no, percent, "so far")])
        after = self.row("jobs", held.taken.id)
        assert after == before or self.holds(before, held)

    @rule(worker=st.integers(0, 5))
    def beat(self, worker: int) -> None:
        """Beat, and hand back what the process knows nothing of."""
        worker_id = self.workers[worker % len(self.workers)]
        known = {(held.taken.id, held.taken.claim_no) for held in self.claims if held.worker == worker_id}
        with self.transaction() as session:
            if not workers.beat(session, worker_id=worker_id):
                return
            held = workers.claims_of(session, worker_id=worker_id)
            lost = [(job_id, claim_no) for job_id, (claim_no, _) in held.items() if (job_id, claim_no) not in known]
            if lost:
                attempts.hand_back_unknown(session, worker_id=worker_id, claims=lost)

    @rule(worker=st.integers(0, 5), says_goodbye=st.booleans())
    def lose_worker(self, worker: int, says_goodbye: bool) -> None:
        """Lose a worker, whose claims may wake up later, and start a new one."""
        worker_id = self.workers[worker % len(self.workers)]
        with self.transaction() as session:
            beat_no = factories.fetch(session, "workers", worker_id).beat_no
            if says_goodbye:
                workers.leave(session, worker_id=worker_id)
            else:
                workers.declare_dead(session, worker_id=worker_id, beat_no=beat_no)
            if len(self.workers) < 6:
                self.workers.append(factories.worker(session, KNOWN, threads=2))

    # What the sweeper does.

    @rule(crash=st.booleans())
    def rescue(self, crash: bool) -> None:
        """Take back what dead workers held."""
        with self.crashes(crash), self.transaction(crash=crash) as session:
            rescue.rescue(session)

    @rule(all_of_them=st.booleans())
    def take_back(self, all_of_them: bool) -> None:
        """Return what was dispatched and never claimed."""
        with self.transaction() as session:
            resend.take_back(session, job_ids=None if all_of_them else self.jobs[:3])

    @rule()
    def resend(self) -> None:
        """Send messages again, under their numbers."""
        with self.transaction() as session:
            overdue = resend.overdue(session, after_seconds=0.0)
        assert {(job.id, job.dispatch_no) for job in overdue} <= set(self.messages) | {
            (job.id, job.dispatch_no) for job in overdue
        }
        self.messages += [(job.id, job.dispatch_no) for job in overdue]

    @rule(comes=st.booleans())
    def promote(self, comes: bool) -> None:
        """Let what is due into the lanes, after some time has passed or not."""
        with self.transaction() as session:
            if comes:
                let_time_pass(session)
            due.promote(session)

    @rule()
    def settle(self) -> None:
        """Move dependants."""
        with self.transaction() as session:
            dependencies.settle(session)

    @rule(crash=st.booleans())
    def fail_strangers(self, crash: bool) -> None:
        """Fail what nobody performs."""
        with self.crashes(crash), self.transaction(crash=crash) as session:
            unknown = orphans.unknown_types(session, known=workers.known_types(session) | set(KNOWN))
            assert set(unknown) <= {STRANGE}
            for kind in unknown:
                orphans.fail_type(session, kind=kind, worker_id=self.workers[-1])

    @rule()
    def prune(self) -> None:
        """Delete what has finished."""
        with self.transaction() as session:
            prune.prune(session, older_than_seconds=0.0)
        with self.database.read() as session:
            left = {str(row.id) for row in run(session, "SELECT id FROM jobs")}
        self.jobs = [job for job in self.jobs if job in left]
        self.claims = [held for held in self.claims if held.taken.id in left]
        self.written = [(worker, outcome) for worker, outcome in self.written if outcome.job_id in left]

    # What is always true.

    @invariant()
    def is_sound(self) -> None:
        """Verify finds nothing, and numbers only rise."""
        with self.database.read() as session:
            assert verify(session) == []
        with self.database.read() as session:
            rows = run(session, "SELECT id, claim_no, dispatch_no FROM jobs").all()
        for job_id, claim_no, dispatch_no in rows:
            before = self.numbers.get(str(job_id), (0, 0))
            assert (claim_no >= before[0], dispatch_no >= before[1]) == (True, True)
            self.numbers[str(job_id)] = (claim_no, dispatch_no)

    def teardown(self) -> None:
        """When all faults end, sweeping and working drain everything."""
        if not self.users:
            return
        with self.transaction() as session:
            pauses.resume(session, pauses.Scope())
            for worker_id in self.workers:
                workers.leave(session, worker_id=worker_id)
            worker_id = factories.worker(session, KNOWN)
        self.workers.append(worker_id)
        for _ in range(_MOST_ROUNDS):
            if not self.drain(worker_id):
                break
        with self.database.read() as session:
            assert verify(session) == []
        with self.database.read() as session:
            stuck = run(session, "SELECT * FROM jobs WHERE status IN ('queued', 'processing') OR slot").all()
            counts = run(session, "SELECT unfinished, held, ready FROM users WHERE unfinished + held + ready > 0").all()
            limits = run(session, "SELECT held FROM type_limits WHERE held > 0").all()
        assert (stuck, counts, limits) == ([], [], [])

    def drain(self, worker_id: str) -> int:
        """Sweep and work once, and count what is left."""
        steps = (rescue.rescue, dependencies.settle, resend.take_back, due.promote)
        with self.transaction() as session:
            let_time_pass(session)
            for step in steps:
                step(session)
            orphans.fail_type(session, kind=STRANGE, worker_id=worker_id)
        with self.transaction() as session:
            wanted = dispatch.Wanted(worker_id, [factories.QUEUE], KNOWN, 100, 100, limits=LIMITS)
            taken = dispatch.take(session, wanted)
            self.within_limits(session, taken)
        if taken:
            self.write_outcomes(worker_id, [end_of(job, Ending.COMPLETED) for job in taken])
        with self.database.read() as session:
            left: int = run(session, "SELECT count(*) FROM jobs WHERE finished_at IS NULL OR slot").scalar_one()
        return left

    # What rules have in common.

    def write_outcomes(self, worker_id: str, outcomes: Sequence[attempts.Outcome], *, crash: bool = False) -> None:
        """Write outcomes; those that are refused may change nothing but the slot of their own claim."""
        before = {outcome.job_id: self.row("jobs", outcome.job_id) for outcome in outcomes}
        steps = self.count("transitions"), self.count("dead_letters")
        written: set[str] = set()
        with self.crashes(crash), self.transaction(crash=crash) as session:
            locked = counters.lock_users(session, {outcome.user_id for outcome in outcomes})
            written = attempts.finish(session, worker_id, outcomes, locked)
        if crash:
            assert {job_id: self.row("jobs", job_id) for job_id in before} == before
            return
        failed = 0
        follow_ups = 0
        for outcome in outcomes:
            job, after = before[outcome.job_id], self.row("jobs", outcome.job_id)
            held = Held(worker_id, factories_claim(outcome))
            assert (outcome.job_id in written) == self.holds(job, held), "the fence"
            if outcome.job_id in written:
                failed += outcome.ending is Ending.FAILED
                follow_ups += len(outcome.follow_ups)
                self.jobs += [submission.id for submission in outcome.follow_ups]
                continue
            released = job.status == "cancelled" and job.claim_no == outcome.claim_no and bool(job.slot)
            assert after._mapping == {**job._mapping, "slot": job.slot and not released}
        now = self.count("transitions"), self.count("dead_letters")
        assert now == (steps[0] + len(written) + follow_ups, steps[1] + failed)
        self.written += [(worker_id, outcome) for outcome in outcomes]

    def within_limits(self, session: Session, taken: Sequence[dispatch.Taken]) -> None:
        """Count the slots of everybody who was just given one, in the transaction that gave them."""
        for user_id in {job.user_id for job in taken}:
            held = run(session, "SELECT count(*) FROM jobs WHERE user_id = :user AND slot", user=user_id).scalar_one()
            sql = "SELECT max_running FROM tiers t JOIN users u ON u.tier = t.name WHERE u.id = :user"
            assert held <= run(session, sql, user=user_id).scalar_one()
        if any(job.type == LIMITED for job in taken):
            held = run(session, "SELECT count(*) FROM jobs WHERE type = :type AND slot", type=LIMITED).scalar_one()
            assert held <= run(session, "SELECT max_held FROM type_limits").scalar_one()

    @staticmethod
    def holds(job: Any, held: Held) -> bool:
        """Tell whether a claim is still good."""
        return (job.status, job.claim_no, str(job.worker_id), bool(job.slot)) == (
            "processing",
            held.taken.claim_no,
            held.worker,
            True,
        )

    def row(self, table: str, id: str) -> Any:
        """Read one row."""
        with self.database.read() as session:
            return factories.fetch(session, table, id)

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        with self.database.read() as session:
            counted: int = run(session, f"SELECT count(*) FROM {table}").scalar_one()
            return counted

    def jobs_of(self, user_id: str) -> list[str]:
        """List a user's jobs."""
        with self.database.read() as session:
            rows = run(session, "SELECT id FROM jobs WHERE user_id = :user ORDER BY id", user=user_id)
            return [str(row.id) for row in rows]

    def limit_of(self, user_id: str, limit: str) -> int:
        """Read one limit of a user's tier."""
        with self.database.read() as session:
            sql = f"SELECT {limit} FROM tiers t JOIN users u ON u.tier = t.name WHERE u.id = :user"
            most: int = run(session, sql, user=user_id).scalar_one()
            return most


class _Calm:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return False


class _Crash(_Calm):
    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return kind is CrashError


def factories_claim(outcome: attempts.Outcome) -> dispatch.Taken:
    """Make the claim that an outcome is about."""
    return dispatch.Taken(outcome.job_id, outcome.user_id, "", "", 0, "", outcome.attempt, 0, outcome.claim_no, 0, 0, None)


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
    for table in ("users", "tenants", "workers", "pauses", "type_limits"):
        run(session, f"DELETE FROM {table}")
