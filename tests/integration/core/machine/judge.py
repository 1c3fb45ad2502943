"""The judge: what must be true after each step, in plain SQL that knows nothing of how the product counts."""

from hypothesis.stateful import invariant

from persistence.verify import verify
from tests.integration.core.machine.installation import Installation
from tests.model.world import RUNNING, WORKING


class Judge(Installation):
    """The invariants."""

    @invariant()
    def verify_finds_nothing(self) -> None:
        """Verify agrees with what follows here."""
        with self.database.read() as session:
            assert verify(session) == []

    @invariant()
    def counters_are_the_flags(self) -> None:
        """A3: each counter is the number of jobs that it counts."""
        for user in self.rows("SELECT id, unfinished, held, ready FROM users"):
            jobs = self.rows("SELECT status, slot, blocked_by FROM jobs WHERE user_id = :id", id=str(user.id))
            unfinished = [job for job in jobs if job.status in {"queued", "processing"}]
            held = [job for job in jobs if job.slot]
            ready = [job for job in jobs if job.status == "queued" and not job.slot and job.blocked_by is None]
            assert (user.unfinished, user.held, user.ready) == (len(unfinished), len(held), len(ready)), "A3"
        for limit in self.rows("SELECT name, held FROM type_limits"):
            held = self.rows("SELECT id FROM jobs WHERE slot AND type LIKE 'limited.%'")
            assert limit.held == len(held), "A3"

    @invariant()
    def runs_count_their_jobs(self) -> None:
        """A3: a run's counters are the numbers of its jobs that stand so, in all and by tags."""
        for run in self.rows("SELECT * FROM runs WHERE deleted_at IS NULL"):
            jobs = self.rows("SELECT status, tags FROM jobs WHERE run_id = :id", id=str(run.id))
            for status in ("queued", "processing", "completed", "failed", "cancelled"):
                assert getattr(run, status) == len([job for job in jobs if job.status == status]), "A3"
                for group in self.rows("SELECT * FROM run_groups WHERE run_id = :id", id=str(run.id)):
                    alike = [
                        job for job in jobs if job.status == status and sorted((job.tags or "").split()) == group.tags.split()
                    ]
                    assert getattr(group, status) == len(alike), "A3"
            assert run.total == len(jobs), "A3"
            unfinished = any(job.status in {"queued", "processing"} for job in jobs)
            assert (run.finished_at is None) == unfinished, "A3"

    @invariant()
    def work_has_a_slot(self) -> None:
        """A3: what is processing holds a slot, and whoever is at work with a good lease does so by that slot."""
        assert self.rows("SELECT id FROM jobs WHERE status = 'processing' AND NOT slot") == []
        for process in self.processes:
            if process.mode == RUNNING and self.is_alive(process.id):
                for claim in process.of(WORKING):
                    job = self.row("jobs", claim.taken.id)
                    assert (bool(job.slot), job.claim_no, str(job.worker_id)) == (True, claim.taken.claim_no, process.id), "A3"

    @invariant()
    def one_result_a_job(self) -> None:
        """A2: no job completes twice, and only a completed one has a result."""
        sql = "SELECT job_id FROM transitions WHERE to_status = 'completed' GROUP BY job_id HAVING count(*) > 1"
        assert self.rows(sql) == [], "A2"
        assert self.rows("SELECT id FROM jobs WHERE result IS NOT NULL AND status <> 'completed'") == [], "A2"

    @invariant()
    def the_trail_is_the_row(self) -> None:
        """A4, A5: no gap, no illegal step, claim numbers that rise by one with each claim, and an end that is the row's."""
        legal = {
            (None, "queued"), ("queued", "processing"), ("queued", "cancelled"), ("processing", "queued"),
            ("processing", "completed"), ("processing", "failed"), ("processing", "cancelled"), ("failed", "queued"),
        }  # fmt: skip
        trails: dict[str, tuple[int, str | None, int]] = {}
        for step in self.rows(
            "SELECT job_id, seq, from_status, to_status, claim_no, reason FROM transitions ORDER BY job_id, seq"
        ):
            seq, status, claim_no = trails.get(str(step.job_id), (0, None, 0))
            claim_no += step.to_status == "processing"
            assert (step.seq, step.from_status, step.claim_no) == (seq + 1, status, claim_no), "A4, A5"
            assert (step.from_status, step.to_status) in legal, "A4"
            assert (step.from_status == "failed") == (step.reason == "replayed"), "A5"
            trails[str(step.job_id)] = (step.seq, step.to_status, step.claim_no)
        rows = self.rows("SELECT id, seq, status, claim_no FROM jobs")
        assert {str(row.id): (row.seq, row.status, row.claim_no) for row in rows} == trails, "A4"

    @invariant()
    def dependants_wait(self) -> None:
        """Nothing is let go before all that it depends on has completed."""
        sql = """SELECT j.id FROM dependencies d JOIN jobs j ON j.id = d.job_id JOIN jobs p ON p.id = d.parent_id
        LEFT JOIN runs r ON r.id = j.run_id
        WHERE p.status <> 'completed' AND j.status <> 'cancelled' AND coalesce(j.blocked_by, '') <> 'dependency'
        AND NOT (coalesce(r.on_failure, '') = 'fail' AND j.status = 'failed' AND j.error LIKE '%DependencyFailed%')
        AND NOT (coalesce(r.on_failure, '') = 'continue' AND (p.finished_at IS NOT NULL OR EXISTS (SELECT 1 FROM transitions t
            WHERE t.job_id = p.id AND t.to_status = 'failed')))"""
        assert self.rows(sql) == [], "a dependant was let go too early"

    @invariant()
    def failures_are_kept(self) -> None:
        """A1: each failure has the one dead letter of its claim."""
        sql = """SELECT t.job_id, t.claim_no, count(d.id) AS letters FROM transitions t
        LEFT JOIN dead_letters d ON d.job_id = t.job_id AND d.claim_no = t.claim_no
        WHERE t.to_status = 'failed' GROUP BY t.job_id, t.claim_no HAVING count(d.id) <> 1"""
        assert self.rows(sql) == [], "A1"

    @invariant()
    def numbers_only_rise(self) -> None:
        """A5: claims and dispatches are never numbered back."""
        for row in self.rows("SELECT id, claim_no, dispatch_no FROM jobs"):
            before = self.numbers.get(str(row.id), (0, 0))
            assert (row.claim_no >= before[0], row.dispatch_no >= before[1]) == (True, True), "A5"
            self.numbers[str(row.id)] = (row.claim_no, row.dispatch_no)
