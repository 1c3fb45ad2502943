"""The machine itself: it begins with an empty database, and when it ends all faults end and everything must drain."""

from zlib import crc32

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from persistence import dependencies, due, orphans, parking, rescue, resend, run_control
from persistence import dispatch as dispatches
from persistence.attempts import Ending
from tests import factories
from tests.integration.core.machine.callers import Callers
from tests.integration.core.machine.installation import KNOWN, LIMITS, STRANGE, end_of
from tests.integration.core.machine.judge import Judge
from tests.integration.core.machine.operators import Operators
from tests.integration.core.machine.step import steps_of
from tests.integration.core.machine.sweeps import Sweeps
from tests.integration.core.machine.workers import Workers
from tests.model.world import CRASHED, OWED

_MOST_ROUNDS = 100


class Machine(Callers, Operators, Workers, Sweeps, Judge):
    """Everything that can happen, in any order."""

    taken = 0

    @initialize(
        running=st.lists(st.integers(1, 3), min_size=2, max_size=3),
        active=st.integers(2, 8),
        most=st.integers(1, 2),
        sql=st.booleans(),
    )
    def begin(self, running: list[int], active: int, most: int, sql: bool) -> None:
        """Start with an empty database, users of several tiers and two workers."""
        self.sql = sql
        self.begin_with(running, active, most)

    @rule(drawn=st.data())
    def go_on_by(self, drawn: st.DataObject) -> None:
        """Take a step that can be taken now."""
        possible = [step for step in STEPS.values() if step.is_possible(self)]
        # Hypothesis likes to repeat what it has drawn, and small numbers: left to itself it submits and submits, and hardly any
        # job is ever claimed. So the number that it draws is mixed with the place at which it stands.
        self.taken += 1
        number = crc32(f"{drawn.draw(st.integers(0, 2**16 - 1), 'number')} {self.taken}".encode())
        likely = [step for step in possible for _ in range(step.weight)]
        step = likely[number % len(likely)]
        arguments = drawn.draw(st.fixed_dictionaries(dict(step.arguments)), step.name)
        getattr(self, step.name)(**arguments)

    def teardown(self) -> None:
        """When all faults end, what goes on by itself drains everything: no step here is anybody's help."""
        if not self.users:
            return
        self.wake_up_late()
        if any(process.mode == CRASHED for process in self.processes):
            self.restart()
        self.let_it_be()
        present = {process.id for process in self.processes}
        for place, worker in reversed(list(enumerate(self.rows("SELECT id FROM workers WHERE dead_at IS NULL ORDER BY id")))):
            if str(worker.id) not in present:
                self.expire(place, 0, False)
        for _ in range(_MOST_ROUNDS):
            self.go_on()
            if not self.rows("SELECT 1 FROM jobs WHERE finished_at IS NULL OR slot"):
                break
        self.verify_finds_nothing()
        self.counters_are_the_flags()
        self.the_trail_is_the_row()
        stuck = self.rows("SELECT * FROM jobs WHERE status IN ('queued', 'processing') OR slot")
        counts = self.rows("SELECT unfinished, held, ready FROM users WHERE unfinished + held + ready > 0")
        limits = self.rows("SELECT held FROM type_limits WHERE held > 0")
        assert (stuck, counts, limits) == ([], [], []), "A8"

    def go_on(self) -> None:
        """Let everybody do once what they do all the time."""
        for process in self.processes:
            self.beat_of(process)
        with self.transaction() as session:
            for step in (rescue.rescue, dependencies.settle, due.promote, parking.settle, run_control.cancel_rest):
                step(session)
            if self.sql:
                resend.take_back(session)
            orphans.fail_type(session, kind=STRANGE, worker_id=self.processes[0].id)
        self.let_it_be()
        if not self.sql:
            self.dispatch(100, False, False)
            self.resend(False)
        for process in self.processes:
            if self.sql:
                with self.transaction() as session:
                    wanted = dispatches.Wanted(process.id, [factories.QUEUE], KNOWN, 100, 100, limits=LIMITS)
                    taken = dispatches.take(session, wanted)
                    self.within_limits(session, taken)
                self.receive(process, taken)
            else:
                arrived, self.messages = self.messages, []
                self.deliver_to(process, arrived)
            for claim in process.hand:
                outcome = claim.outcome if claim.stage == OWED else end_of(claim.taken, Ending.COMPLETED)
                assert outcome is not None
                self.write_outcomes(process.id, [outcome])
            process.hand = []


STEPS = steps_of(Machine)
