"""Verify: a healthy, busy database has no violation, and each kind of corruption is found where it was planted."""

from dataclasses import dataclass

import pytest
from sqlmodel import Session

from persistence import cancellation, dead_letters, dependencies, due, replays, rescue, runs, workers
from persistence.attempts import Ending
from persistence.database import Database
from persistence.dispatch import Taken
from persistence.runs import NewRun, OnFailure
from persistence.statements import run
from persistence.verify import Violation, verify
from tests import factories

LIMIT = "tests.*"
RUN_TYPE = "runs.echo"


@dataclass(frozen=True, slots=True)
class Jobs:
    """A busy database's user, and jobs of every kind."""

    user: str
    queued: str
    scheduled: str
    processing: str
    completed: str
    retried: str
    failed: str
    cancelled: str
    replayed: str
    dependant: str
    run: str
    member: str


@pytest.fixture
def jobs(database: Database) -> Jobs:
    """Let jobs go every way that there is."""
    with database.write() as session:
        user = factories.user(session)
        workers.set_type_limits(session, {LIMIT: 50})
        worker = factories.worker(session)

        def claim(count: int = 1) -> list[Taken]:
            factories.submit(session, user, *factories.submissions(count))
            return factories.take(session, worker, limits={factories.TYPE: LIMIT})

        completed, retried, failed, replayed, snoozed, stopped, cancelled = claim(7)
        factories.finish(session, worker, completed, Ending.COMPLETED, result="{}")
        factories.finish(session, worker, retried, Ending.RETRY)
        factories.fail(session, worker, failed)
        factories.fail(session, worker, replayed)
        factories.finish(session, worker, snoozed, Ending.SNOOZED, delay_seconds=0.001, reason="rate limit")
        factories.finish(session, worker, stopped, Ending.HANDED_BACK)
        cancellation.cancel(session, job_id=cancelled.id, user_id=None)
        (letter,) = run(session, "SELECT id FROM dead_letters WHERE job_id = :id", id=replayed.id).one()
        replays.replay(session, letter_id=str(letter), user_id=None)
    with database.write() as session:
        due.promote(session)
        again = {taken.id: taken for taken in factories.take(session, worker, limits={factories.TYPE: LIMIT})}
        factories.finish(session, worker, again[retried.id], Ending.COMPLETED, result="{}")
        factories.finish(session, worker, again[replayed.id], Ending.COMPLETED, result="{}")
        lost = factories.worker(session, name="lost")
        factories.submit(session, user, *factories.submissions(2))
        factories.take(session, lost, limits={factories.TYPE: LIMIT})
        workers.declare_dead(session, worker_id=lost, beat_no=0)
        rescue.rescue(session)
    with database.write() as session:
        factories.take(session, worker, room=1)
        processing, *_ = claim()
        (queued,) = factories.submit(session, user)
        when = factories.moment("2100-01-01T00:00:00+00:00")
        (scheduled,) = factories.submit(session, user, factories.submission(run_after=when))
        (dependant,) = factories.submit(session, user, factories.submission(depends_on=(scheduled,)))
    run_id, member = busy_run(database, user, worker)
    return Jobs(
        user, queued, scheduled, processing.id, completed.id, retried.id, failed.id, cancelled.id, replayed.id, dependant,
        run_id, member,
    )  # fmt: skip


def busy_run(database: Database, user: str, worker: str) -> tuple[str, str]:
    """Let the jobs of a run go every way that there is; give its id and that of a completed job."""
    new = NewRun("busy", OnFailure.FAIL)
    parent = factories.submission(RUN_TYPE)
    asked = [parent, factories.submission(RUN_TYPE, depends_on=(parent.id,))]
    asked += factories.submissions(5, RUN_TYPE, tags=("model:a",))
    with database.write() as session:
        factories.submit(session, user, *asked, run=new)
        lost, completed, retried, replayed, cancelled, _ = factories.take(session, worker, types=[RUN_TYPE])
        factories.fail(session, worker, lost)
        factories.finish(session, worker, completed, Ending.COMPLETED, result="1", follow_ups=[factories.submission(RUN_TYPE)])
        factories.finish(session, worker, retried, Ending.RETRY)
        factories.fail(session, worker, replayed)
        cancellation.cancel(session, job_id=cancelled.id, user_id=None)
        (letter,) = run(session, "SELECT id FROM dead_letters WHERE job_id = :id", id=replayed.id).one()
        replays.replay(session, letter_id=str(letter), user_id=None)
    with database.write() as session:
        assert dependencies.settle(session) == 1
        left = runs.get(session, run_id=new.id, user_id=user).counts
    assert left == {"queued": 3, "processing": 1, "completed": 1, "failed": 2, "cancelled": 1}
    return new.id, completed.id


def test_a_busy_database_is_sound(database: Database, jobs: Jobs) -> None:
    """Jobs that went every way that there is break no invariant."""
    with database.read() as session:
        assert verify(session) == []
        statuses = {row.status for row in run(session, "SELECT status FROM jobs")}
    assert statuses == {"queued", "processing", "completed", "failed", "cancelled"}


# What is planted, the invariant that it breaks, the thing that it is found on, and words of what is said.
PLANTED = {
    "processing without a slot": ("UPDATE jobs SET slot = false WHERE id = :processing", "A1", "processing", "no rescue"),
    "processing nowhere": ("UPDATE jobs SET worker_id = NULL WHERE id = :processing", "A1", "processing", "at no worker"),
    "sent by nobody": (
        "UPDATE jobs SET slot = true, dispatched_at = NULL WHERE id = :queued",
        "A1",
        "queued",
        "never dispatched",
    ),
    "never due": ("UPDATE jobs SET run_after = NULL WHERE id = :scheduled", "A1", "scheduled", "never be due"),
    "user unknown": ("UPDATE jobs SET user_id = :failed WHERE id = :queued", "A1", "queued", "does not exist"),
    "no dead letter": ("DELETE FROM dead_letters WHERE job_id = :failed", "A1", "failed", "without a dead letter"),
    "lost": ("DELETE FROM jobs WHERE id = :queued", "A1", "queued", "was lost"),
    "result of a failure": ("UPDATE jobs SET result = '1' WHERE id = :failed", "A2", "failed", "has a result"),
    "too few unfinished": ("UPDATE users SET unfinished = unfinished - 1", "A3", "user", "unfinished jobs"),
    "too many held": ("UPDATE users SET held = held + 1", "A3", "user", "slots held"),
    "too few ready": ("UPDATE users SET ready = ready - 1", "A3", "user", "in the lanes"),
    "type limit": ("UPDATE type_limits SET held = held + 1", "A3", LIMIT, "slots held"),
    "slot for ever": ("UPDATE jobs SET slot = true WHERE id = :completed", "A3", "completed", "no attempt will give back"),
    "slot of a cancelled one": (
        "UPDATE jobs SET worker_id = NULL WHERE id = :cancelled",
        "A3",
        "cancelled",
        "no attempt will give back",
    ),
    "no trail": ("DELETE FROM transitions WHERE job_id = :queued", "A4", "queued", "no transitions"),
    "gap": ("DELETE FROM transitions WHERE job_id = :completed AND seq = 2", "A4", "completed", "from 1 to 3"),
    "trail begins late": ("DELETE FROM transitions WHERE job_id = :completed AND seq = 1", "A4", "completed", "from 2 to 3"),
    "count of steps": ("UPDATE jobs SET seq = seq + 1 WHERE id = :completed", "A4", "completed", "counts 4 transitions"),
    "another status": (
        "UPDATE jobs SET status = 'cancelled', result = NULL WHERE id = :completed",
        "A4",
        "completed",
        "led to completed",
    ),
    "another end": ("UPDATE jobs SET finished_at = created_at WHERE id = :completed", "A4", "completed", "finished at"),
    "another user's trail": (
        "UPDATE transitions SET user_id = :failed WHERE job_id = :completed AND seq = 3",
        "A4",
        "completed",
        "its last transition",
    ),
    "illegal step": (
        "UPDATE transitions SET from_status = 'queued' WHERE job_id = :completed AND seq = 3",
        "A4",
        "completed",
        "went from queued to completed",
    ),
    "broken chain": (
        "UPDATE transitions SET from_status = 'failed' WHERE job_id = :retried AND seq = 3",
        "A4",
        "retried",
        "the step before it had led to processing",
    ),
    "attempt of the row": ("UPDATE jobs SET attempt = 0 WHERE id = :completed", "A4", "completed", "is at attempt 0"),
    "attempt of a step": (
        "UPDATE transitions SET attempt = 1 WHERE job_id = :retried AND seq = 4",
        "A4",
        "retried",
        "began attempt 1",
    ),
    "claim of the row": ("UPDATE jobs SET claim_no = 7 WHERE id = :completed", "A4", "completed", "is at claim 7"),
    "old claim": (
        "UPDATE transitions SET claim_no = 1 WHERE job_id = :retried AND seq = 4",
        "A5",
        "retried",
        "step 4 to processing has claim 1",
    ),
    "another's result": (
        "UPDATE transitions SET worker_id = :failed WHERE job_id = :completed AND seq = 3",
        "A5",
        "completed",
        "the claim was of",
    ),
    "sent to a worker": (
        "UPDATE jobs SET slot = true, dispatched_at = created_at, worker_id = :failed WHERE id = :queued",
        "A1",
        "queued",
        "is queued with a slot at worker",
    ),
    "no earlier dead letter": (
        "DELETE FROM dead_letters WHERE job_id = :replayed",
        "A1",
        "replayed",
        "failed at claim 1 and has 0 dead letters",
    ),
    "two dead letters": (
        """INSERT INTO dead_letters (id, job_id, claim_no, user_id, type, payload, error, fingerprint, attempts, died_at)
        SELECT j.id, d.job_id, d.claim_no, d.user_id, d.type, d.payload, d.error, d.fingerprint, d.attempts, d.died_at
        FROM dead_letters d JOIN jobs j ON j.id = :queued WHERE d.job_id = :failed""",
        "A1",
        "failed",
        "has 2 dead letters",
    ),
    "replayed by the letter only": (
        "UPDATE dead_letters SET replayed_at = died_at WHERE job_id = :failed",
        "A1",
        "failed",
        "so that nobody can",
    ),
    "replayed without the letter": (
        "UPDATE dead_letters SET replayed_at = NULL WHERE job_id = :replayed",
        "A5",
        "replayed",
        "was not replayed",
    ),
    "back from the end": (
        "UPDATE transitions SET reason = 'retry' WHERE job_id = :replayed AND from_status = 'failed'",
        "A5",
        "replayed",
        "left failed without a replay",
    ),
    "letter of no failure": (
        "UPDATE dead_letters SET job_id = :completed WHERE job_id = :replayed",
        "A4",
        "completed",
        "which did not fail",
    ),
    "waits for itself": (
        "UPDATE dependencies SET parent_id = job_id WHERE job_id = :dependant",
        "A1",
        "dependant",
        "waits for itself",
    ),
    "let go too early": (
        "UPDATE jobs SET blocked_by = NULL WHERE id = :dependant",
        "A4",
        "dependant",
        "which is queued",
    ),
    "slot without a counter": (
        "UPDATE jobs SET slot = true, dispatched_at = created_at WHERE id = :queued",
        "A3",
        "user",
        "slots held",
    ),
    "slot of no limit": (
        "UPDATE jobs SET slot_limit = 'gone' WHERE id = :processing",
        "A3",
        "processing",
        "slot of gone",
    ),
    "type limit gone": ("DELETE FROM type_limits", "A3", "processing", "which does not exist"),
    "result twice": (
        "UPDATE transitions SET to_status = 'completed', from_status = 'completed' WHERE job_id = :retried AND seq = 4",
        "A4",
        "retried",
        "went from completed to completed",
    ),
    "run's count": (
        "UPDATE runs SET completed = completed + 1, total = total + 1 WHERE id = :run",
        "A3",
        "run",
        "counts 3 queued, 1 processing, 2 completed",
    ),
    "run's counts exchanged": (
        "UPDATE runs SET failed = failed - 1, completed = completed + 1 WHERE id = :run",
        "A3",
        "run",
        "and has 3 queued, 1 processing, 1 completed, 2 failed, 1 cancelled",
    ),
    "run's total": ("INSERT INTO run_groups SELECT id, 1, 'x', 1, 0, 0, 0, 0 FROM runs", "A3", "run", "with the tags x"),
    "a status that no run counts": (
        "UPDATE jobs SET status = 'failed', result = NULL WHERE id = :member",
        "A3",
        "run",
        "0 completed, 3 failed",
    ),
    "out of its run": ("UPDATE jobs SET run_id = NULL WHERE id = :member", "A3", "run", "counts 8 jobs and has 7"),
    "run's tags": (
        "UPDATE run_groups SET completed = completed + 1 WHERE run_id = :run",
        "A3",
        "run",
        "with the tags model:a",
    ),
    "run unknown": ("DELETE FROM runs WHERE id = :run", "A3", "member", "which does not exist, so nobody counts it"),
    "run's tags gone": ("DELETE FROM run_groups WHERE run_id = :run", "A3", "member", "does not count"),
    "run of two users": (
        "UPDATE runs SET user_id = :member WHERE id = :run",
        "A4",
        "run",
        "has jobs of somebody else",
    ),
    "idempotency key": ("UPDATE jobs SET idempotency_key = 'twice'", "A6", "user", "the idempotency key twice"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_corruption_is_found(database: Database, jobs: Jobs, name: str) -> None:
    """Each corruption is found, on the thing that it was planted on, as the invariant that it breaks."""
    # given
    sql, invariant, where, words = PLANTED[name]
    with database.write() as session:
        take_guards_away(session)
        parameters = {field: getattr(jobs, field) for field in Jobs.__slots__ if f":{field}" in sql}
        run(session, sql, **parameters)
    # when
    with database.read() as session:
        violations = verify(session)
    # then
    on = getattr(jobs, where, where)
    assert [violation for violation in violations if is_it(violation, invariant, on, words)], list(map(str, violations))


def test_a_final_moment_is_checked(database: Database, jobs: Jobs) -> None:
    """A final job without the moment when it finished is found, should the CHECK ever be gone."""
    if not database.is_sqlite:
        with database.write() as session:
            run(session, "ALTER TABLE jobs DROP CONSTRAINT ck_jobs_finished_when_final")
    with database.write() as session:
        if database.is_sqlite:
            run(session, "PRAGMA ignore_check_constraints = ON")
        run(session, "UPDATE jobs SET finished_at = NULL WHERE id = :id", id=jobs.completed)
    with database.read() as session:
        violations = verify(session)
    assert [violation for violation in violations if is_it(violation, "A1", jobs.completed, "nothing as the moment")]


def test_a_lowered_tier_is_no_violation(database: Database, jobs: Jobs) -> None:
    """More slots than a tier allows by now were taken when it allowed them."""
    with database.write() as session:
        run(session, "UPDATE tiers SET max_running = 1, max_active = 1")
        run(session, "UPDATE type_limits SET max_held = 1")
    with database.read() as session:
        assert verify(session) == []


def test_a_deleted_dead_letter_is_no_violation(database: Database, jobs: Jobs) -> None:
    """A dead letter that its owner has thrown away is not missed."""
    with database.write() as session:
        (letter,) = run(session, "SELECT id FROM dead_letters WHERE job_id = :id", id=jobs.failed).one()
        dead_letters.delete(session, letter_id=str(letter), user_id=None)
    with database.read() as session:
        assert verify(session) == []


def test_what_happens_meanwhile_is_not_seen(database: Database, jobs: Jobs) -> None:
    """All is read at one moment: a counter that is changed between two queries is no violation."""
    with database.read() as session:
        first = verify(session)
        with database.write() as other:
            run(other, "UPDATE users SET held = held + 1")
        assert (first, run(session, "SELECT sum(held) FROM users").scalar_one()) == ([], held(session))


def test_no_more_than_asked_for(database: Database, jobs: Jobs) -> None:
    """A database that is wrong everywhere is told in as many lines as were asked for."""
    with database.write() as session:
        take_guards_away(session)
        run(session, "DELETE FROM transitions")
    with database.read() as session:
        assert len([found for found in verify(session, most=2) if "no transitions" in found.found]) == 2


def held(session: Session) -> int:
    """Count the slots that are held."""
    return int(run(session, "SELECT count(*) FROM jobs WHERE slot").scalar_one())


def is_it(violation: Violation, invariant: str, on: str, words: str) -> bool:
    """Tell whether this is the violation that was planted."""
    return violation.invariant == invariant and violation.id == on and words in violation.found


def take_guards_away(session: Session) -> None:
    """Take away what keeps corruption out: the triggers, foreign keys and unique indexes in its way."""
    run(session, "DROP INDEX uq_jobs_idempotency_key")
    if session.get_bind().dialect.name == "postgresql":
        run(session, "ALTER TABLE transitions DISABLE TRIGGER ALL")
        for (name,) in run(
            session, "SELECT conname FROM pg_constraint WHERE conrelid = 'dead_letters'::regclass AND contype = 'u'"
        ).all():
            run(session, f"ALTER TABLE dead_letters DROP CONSTRAINT {name}")
        return
    # SQLite drops no constraint: the table is made anew without any.
    run(session, "CREATE TABLE loose AS SELECT * FROM dead_letters")
    run(session, "DROP TABLE dead_letters")
    run(session, "ALTER TABLE loose RENAME TO dead_letters")
    for (trigger,) in run(session, "SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
        run(session, f"DROP TRIGGER {trigger}")
