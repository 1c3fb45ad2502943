"""What the sweeper does, and what becomes of the broker."""

from hypothesis import strategies as st

from persistence import archive, dependencies, due, orphans, parking, prune, rescue, resend, run_control, workers
from persistence.database import now
from persistence.statements import run
from tests.integration.core.machine.installation import KNOWN, STRANGE, Installation, let_time_pass
from tests.integration.core.machine.step import rarely, step, when


class Sweeps(Installation):
    """The rules of the sweeper and of brokers."""

    @step(place=st.integers(0, 1000), since=st.integers(0, 1), crash=rarely)
    def expire(self, place: int, since: int, crash: bool) -> None:
        """Declare a worker dead that has not beaten since it was looked at, be it dead, frozen or only slow."""
        alive = self.rows("SELECT id, beat_no FROM workers WHERE dead_at IS NULL ORDER BY id")
        if not alive:
            return
        worker = alive[place % len(alive)]
        with self.transaction(crash=crash) as session:
            done = workers.declare_dead(session, worker_id=str(worker.id), beat_no=worker.beat_no - since)
            assert done == (since == 0)

    @step(4, crash=rarely)
    def rescue(self, crash: bool) -> None:
        """Take back what dead workers held."""
        with self.transaction(crash=crash) as session:
            rescue.rescue(session)

    @when(lambda self: self.sql)
    @step(crash=rarely)
    def take_back(self, crash: bool) -> None:
        """Return what another broker has dispatched, as the SQL broker's sweep does."""
        with self.transaction(crash=crash) as session:
            resend.take_back(session)
        if not crash:
            assert self.rows("SELECT 1 FROM jobs WHERE status = 'queued' AND slot") == []

    @when(lambda self: not self.sql)
    @step(crash=rarely)
    def resend(self, crash: bool) -> None:
        """Send messages again, under their numbers."""
        before = {
            str(row.id): row.dispatch_no for row in self.rows("SELECT id, dispatch_no FROM jobs WHERE status = 'queued' AND slot")
        }
        with self.transaction(crash=crash) as session:
            overdue = resend.overdue(session, after_seconds=0.0)
        assert {job.id: job.dispatch_no for job in overdue} == before, "a re-send keeps its number"
        if not crash:
            self.messages += [(job.id, job.dispatch_no) for job in overdue]

    @step(4, comes=st.booleans())
    def promote(self, comes: bool) -> None:
        """Let what is due into the lanes, after some time has passed or not."""
        with self.transaction() as session:
            if comes:
                let_time_pass(session)
            due.promote(session)
            early = "SELECT count(*) FROM jobs WHERE status = 'queued' AND blocked_by IS NULL AND run_after > :now"
            assert run(session, early, now=now(session)).scalar_one() == 0, "nothing enters its lane before its moment"

    @step(3)
    def settle(self) -> None:
        """Move dependants."""
        with self.transaction() as session:
            dependencies.settle(session)

    @step(2, crash=rarely)
    def park(self, crash: bool) -> None:
        """Park what is in the lanes of paused runs, and put back what is parked for none."""
        with self.transaction(crash=crash) as session:
            parking.settle(session)

    @step(crash=rarely)
    def cancel_rest(self, crash: bool) -> None:
        """Cancel what is left of a cancelled run."""
        with self.transaction(crash=crash) as session:
            run_control.cancel_rest(session)

    @step(crash=rarely)
    def fail_strangers(self, crash: bool) -> None:
        """Fail what nobody performs."""
        with self.transaction(crash=crash) as session:
            unknown = orphans.unknown_types(session, known=workers.known_types(session) | set(KNOWN))
            assert set(unknown) <= {STRANGE}
            for kind in unknown:
                orphans.fail_type(session, kind=kind, worker_id=self.processes[-1].id)

    @step()
    def archive(self) -> None:
        """Archive what has finished; nothing else may look different for it."""
        with self.transaction() as session:
            archive.archive(session, older_than_seconds=0.0, most=100)

    @step()
    def prune(self) -> None:
        """Delete what has finished."""
        with self.transaction() as session:
            prune.prune(session, older_than_seconds=0.0)
        left = {str(row.id) for row in self.rows("SELECT id FROM jobs")}
        self.jobs = [job for job in self.jobs if job in left]
        self.made = [claim for claim in self.made if claim.taken.id in left]
        self.written = [(worker, outcome) for worker, outcome in self.written if outcome.job_id in left]
        for process in self.processes:
            process.hand = [claim for claim in process.hand if claim.taken.id in left]

    # The broker.

    @when(lambda self: self.messages)
    @step(which=st.integers(0, 1000))
    def lose(self, which: int) -> None:
        """Lose a message."""
        self.messages.pop(which % len(self.messages))

    @when(lambda self: self.messages)
    @step()
    def wipe(self) -> None:
        """Empty the broker."""
        self.messages = []

    @step(restored=st.booleans())
    def change_broker(self, restored: bool) -> None:
        """Change from a broker with messages to the SQL broker or back; what comes back may be an old snapshot."""
        self.sql = not self.sql
        self.messages = list(self.delivered) if restored and not self.sql else []

    def let_it_be(self) -> None:
        """End all faults that are the database's: pauses are over and every moment has come."""
        with self.transaction() as session:
            run(session, "DELETE FROM pauses")
            run(session, "UPDATE runs SET paused_at = NULL")
            let_time_pass(session)
