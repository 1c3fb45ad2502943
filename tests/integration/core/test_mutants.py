"""The machine's negative controls: without any one of the guards in the verbs' statements it finds something broken.

A check that cannot fail proves nothing. Each mutant changes one statement on its way to the database. It takes a while, so it
is asked for: `make mutants`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import HypothesisException
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.exc import OperationalError, ProgrammingError

from persistence.database import Database
from persistence.settings import DatabaseSettings
from tests.integration.core.machine import Machine
from tests.rewriting import rewrite

CLAIM, TAKE = "jobs.dispatch_no = b.dispatch_no", "status = 'processing', slot = true"
FINISH, RELEASE = "UPDATE jobs SET status = b.status", "UPDATE jobs SET slot = false FROM"
ALIVE = "AND EXISTS (SELECT 1 FROM workers w WHERE w.id = :worker AND w.dead_at IS NULL)"
REPLAYED = "UPDATE dead_letters SET replayed_at"
LIVING = "AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = jobs.worker_id AND w.dead_at IS NULL)"
OLD = "run_id IS NULL AND finished_at < moment_after"
DUE = "SELECT id, user_id FROM jobs WHERE status = 'queued' AND blocked_by IN"
ORPHANS, UNSENT = "SELECT j.id, j.user_id FROM jobs j LEFT JOIN workers", "status = 'queued' AND slot"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change to the statements that contain some words.

    :param where: words of the statements that are changed.
    :param guard: what is taken out of them.
    :param instead: what takes its place.
    :param second: the guard that stands behind this one; with either of them nothing goes wrong.
    """

    where: str
    guard: str
    instead: str = ""
    second: "Mutant | None" = None

    @property
    def parts(self) -> "list[Mutant]":
        """List this guard and the one behind it."""
        return [self] if self.second is None else [self, *self.second.parts]

    def changed(self, sql: str) -> str:
        """Change a statement, if it is one of these."""
        return sql.replace(self.guard, self.instead) if self.where in sql else sql


MUTANTS = {
    "claim without a slot": Mutant(CLAIM, "AND CAST(jobs.slot AS int) = 1"),
    "claim whatever the status": Mutant(CLAIM, "AND jobs.status || '' = 'queued'"),
    "claim by an old message": Mutant(CLAIM, "AND jobs.dispatch_no = b.dispatch_no"),
    "claim by the dead": Mutant(CLAIM, ALIVE),
    "take by the dead": Mutant(TAKE, ALIVE),
    # The guard stands where jobs are chosen and again where they are marked.
    "take what is blocked": Mutant(
        "ORDER BY j.priority DESC", "AND j.blocked_by IS NULL", second=Mutant(TAKE, "AND jobs.blocked_by IS NULL")
    ),
    "over the user's limit": Mutant("FROM users u JOIN tiers t", "t.max_running", "(t.max_running + 1)"),
    "over the type's limit": Mutant("FROM type_limits", "max_held - held", "max_held - held + 1"),
    "through a pause": Mutant("UNION ALL SELECT 'limit'", "FROM pauses", "FROM pauses WHERE 1 = 0"),
    "over the door's limit": Mutant("t.max_active, t.weight", "t.max_active", "t.max_active + 1"),
    "fence without the claim": Mutant(FINISH, "AND jobs.claim_no = b.claim_no"),
    "fence without the status": Mutant(FINISH, "AND jobs.status || '' = 'processing'"),
    "an outcome keeps the slot": Mutant(FINISH, "slot = false,"),
    "an attempt is never spared": Mutant(FINISH, "attempt = jobs.attempt - b.spared,"),
    "a type's slot is not counted back": Mutant(FINISH, "jobs.slot_limit", "NULL"),
    "release without the claim": Mutant(RELEASE, "AND jobs.claim_no = b.claim_no"),
    "release without the flag": Mutant(RELEASE, "AND CAST(jobs.slot AS int) = 1"),
    "release whatever the status": Mutant(RELEASE, "AND jobs.status || '' IN ('completed', 'failed', 'cancelled')"),
    "refusals release nothing": Mutant(RELEASE, "WHERE jobs.id", "WHERE 1 = 0 AND jobs.id"),
    "rescue of what is processing only": Mutant(ORPHANS, "WHERE j.slot", "WHERE j.status = 'processing' AND j.slot"),
    "rescue of nothing": Mutant(ORPHANS, "WHERE j.slot", "WHERE 1 = 0 AND j.slot"),
    "rescue of the living": Mutant("worker_id", "w.dead_at IS NOT NULL", "1 = 1", Mutant("rescues = rescues + 1", LIVING)),
    "a cancel takes the slot away": Mutant("'cancelled', finished_at", "(slot AND status = 'processing')", "false"),
    "a cancel leaves the slot": Mutant("'cancelled', finished_at", "(slot AND status = 'processing')", "slot"),
    "a cancel of what has ended": Mutant("status", "AND status IN ('queued', 'processing')"),
    "a claimed job is taken back": Mutant("slot", UNSENT, "slot AND status IN ('queued', 'processing')"),
    "nothing is taken back": Mutant("SELECT id, user_id FROM jobs WHERE status = 'queued' AND slot", "AND slot", "AND 1 = 0"),
    "a re-send is numbered anew": Mutant("resends = resends + 1", "resends = resends + 1", "dispatch_no = dispatch_no + 1"),
    "no re-send": Mutant("resends = resends + 1", "AND status = 'queued' AND slot RETURNING", "AND 1 = 0 RETURNING"),
    "a replay of another claim's letter": Mutant("attempt = 0, rescues = 0", "AND jobs.claim_no = b.claim_no"),
    "a replay that is pressed twice": Mutant(
        REPLAYED, "AND replayed_at IS NULL", second=Mutant("attempt = 0, rescues = 0", "AND jobs.status = 'failed'")
    ),
    "a replay counts claims anew": Mutant("attempt = 0, rescues = 0", "attempt = 0,", "attempt = 0, claim_no = 0,"),
    "the dead come back": Mutant("beat_no = beat_no + 1", "AND dead_at IS NULL"),
    "death in spite of a beat": Mutant("SET dead_at = :now", "AND beat_no = :beat_no"),
    "what is not due": Mutant("SET blocked_by = NULL", "AND run_after <= :now", second=Mutant(DUE, "AND run_after <= :now")),
    "nothing comes due": Mutant("SET blocked_by = NULL", "run_after <= :now", "1 = 0"),
    "dependants are let go": Mutant("SET blocked_by = CASE", "AND NOT EXISTS", "AND 1 = 1 OR NOT EXISTS"),
    "dependants are forgotten": Mutant("blocked_by = 'dependency' AND (EXISTS", "WHERE", "WHERE 1 = 0 AND"),
    "progress by an old claim": Mutant("progress_percent = b.", "AND jobs.claim_no = b.claim_no"),
    "no dead letter": Mutant("INSERT INTO dead_letters", "ON j.id", "ON 1 = 0 AND j.id"),
    "a slot is pruned away": Mutant("DELETE FROM jobs", "AND NOT slot", second=Mutant(OLD, "AND NOT slot")),
}


# What it takes to show these comes together too rarely: each has a test of its own, which fails without the guard.
TOO_RARE = {
    "release without the claim": "test_a_late_outcome_leaves_the_slot_of_a_later_claim",
    "a replay of another claim's letter": "test_a_letter_of_an_earlier_claim_is_history",
    "progress by an old claim": "test_only_the_attempt_at_work_writes_its_progress",
}


@pytest.mark.mutants
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in MUTANTS if name not in TOO_RARE])
def test_a_missing_guard_is_found(sqlite_database: str, name: str) -> None:
    """The machine that finds nothing in the verbs as they are finds what goes wrong without this guard."""
    # given
    parts, met = MUTANTS[name].parts, set()

    def mutated(sql: str) -> str:
        for part in parts:
            before, sql = sql, part.changed(sql)
            if sql != before:
                met.add(part)
        return sql

    put_back = rewrite(mutated)
    database = Database(DatabaseSettings(), url=sqlite_database)
    # when
    try:
        broken = broken_by(lambda: Machine(database))
    finally:
        database.close()
        put_back()
    # then
    print(f"\n{name}: {type(broken).__name__} {str(broken).splitlines()[0][:120] if str(broken) else ''}")  # noqa: T201
    assert met == set(parts), "no statement has this guard: the mutant is out of date"
    assert broken is not None
    # A statement that the database cannot read, or a machine that Hypothesis cannot drive, proves nothing.
    assert not isinstance(broken, OperationalError | ProgrammingError | HypothesisException), "the mutant is not what broke it"


def broken_by(machine: Callable[[], Machine]) -> Exception | None:
    """Run the machine until something breaks."""
    plain = settings(
        max_examples=300, stateful_step_count=60, phases=[Phase.generate], derandomize=True, database=None,
        print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(machine, settings=plain)  # type: ignore[no-untyped-call]
    except Exception as error:
        return error
    return None
