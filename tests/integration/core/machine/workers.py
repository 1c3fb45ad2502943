"""What worker processes do, and what becomes of them: they claim, end, beat, crash, freeze and wake up late."""

from typing import Any

from hypothesis import strategies as st

from persistence import attempts, dispatch, progress, workers
from persistence.attempts import Ending
from tests import factories
from tests.integration.core.machine.installation import FAST, KNOWN, LIMITED, LIMITS, SLOW, Installation, Process, end_of
from tests.integration.core.machine.step import rarely, step, when
from tests.model.world import CRASHED, FROZEN, OWED, RUNNING, UNANSWERED, WORKING

places = st.integers(0, 1000)


class Workers(Installation):
    """The rules of worker processes."""

    def one(self, processes: list[Process], place: int) -> Process:
        """Choose a process."""
        return processes[place % len(processes)]

    # Claims.

    @when(lambda self: self.sql and self.running())
    @step(
        14,
        place=places,
        room=st.sampled_from([6, 4, 3, 2, 1]),
        idle=st.sampled_from([6, 6, 6, 2, 1, 0]),
        kinds=st.sampled_from([set(KNOWN), set(KNOWN), set(KNOWN), {FAST}, {SLOW, LIMITED}]),
        crash=rarely,
    )
    def take(self, place: int, room: int, idle: int, kinds: set[str], crash: bool) -> None:
        """Claim what is next, the SQL broker's way."""
        process = self.one(self.running(), place)
        wanted = dispatch.Wanted(
            process.id, [factories.QUEUE], kinds, room, min(idle, room), fast=(FAST,), cost_seconds={FAST: 0.01}, limits=LIMITS
        )
        taken: list[dispatch.Taken] = []
        with self.transaction(crash=crash) as session:
            taken = dispatch.take(session, wanted)
            self.within_limits(session, taken)
            self.open_to(session, taken)
        if crash:
            return
        assert len(taken) <= room
        assert not taken or self.is_alive(process.id)
        for job in taken:
            assert not job.ahead or (job.type == FAST and job.rescues == 0 and job.max_attempts - job.attempt >= 1)
        self.receive(process, taken)

    @when(lambda self: not self.sql)
    @step(10, room=st.sampled_from([6, 4, 3, 2, 1]), crash=rarely, unpublished=rarely)
    def dispatch(self, room: int, crash: bool, unpublished: bool) -> None:
        """Dispatch messages; the process may end before the commit, or between it and the publishing."""
        wanted = dispatch.Wanted(None, [factories.QUEUE], KNOWN, room, room, limits=LIMITS)
        taken: list[dispatch.Taken] = []
        with self.transaction(crash=crash) as session:
            taken = dispatch.take(session, wanted, dispatch.Mode.SEND)
            self.within_limits(session, taken)
            self.open_to(session, taken)
        if not unpublished or crash:  # a message whose dispatch was rolled back is one that no claim is good for
            self.messages += [(job.id, job.dispatch_no) for job in taken]

    @when(lambda self: self.messages and self.running())
    @step(14, place=places, which=st.lists(places, min_size=1, max_size=4), crash=rarely, repeats=rarely)
    def claim(self, place: int, which: list[int], crash: bool, repeats: bool) -> None:
        """Claim by messages, in any order."""
        arrived = [self.messages[number % len(self.messages)] for number in which]
        self.deliver_to(self.one(self.running(), place), arrived, crash=crash, repeats=repeats)
        if not crash:
            self.messages = [message for message in self.messages if message not in arrived]
            self.delivered += arrived

    @when(lambda self: self.messages and self.running())
    @step(3, place=places, which=places)
    def duplicate(self, place: int, which: int) -> None:
        """Claim by a message that will come a second time."""
        self.deliver_to(self.one(self.running(), place), [self.messages[which % len(self.messages)]])

    @when(lambda self: self.delivered and self.running())
    @step(3, place=places, which=st.lists(places, min_size=1, max_size=4))
    def deliver(self, place: int, which: list[int]) -> None:
        """Deliver messages again that were delivered before, some of them long ago."""
        arrived = [self.delivered[number % len(self.delivered)] for number in which]
        self.deliver_to(self.one(self.running(), place), arrived)

    def deliver_to(self, process: Process, arrived: list[tuple[str, int]], *, crash: bool = False, repeats: bool = False) -> None:
        """Claim by messages: exactly those are good that are their job's last, while its slot stands and the worker lives."""
        good = {message for message in arrived if self.is_good(message)} if self.is_alive(process.id) else set()
        taken: dict[tuple[str, int], dispatch.Taken] = {}
        with self.transaction(crash=crash) as session:
            taken = attempts.claim(session, process.id, arrived)
        assert set(taken) == good, "A5: the claim's guard"
        if crash:
            return
        self.receive(process, list(taken.values()))
        if repeats:
            with self.transaction() as session:
                assert attempts.claim(session, process.id, arrived) == {}

    def is_good(self, message: tuple[str, int]) -> bool:
        """Tell whether a message is its job's last one, and its slot stands."""
        found = self.rows("SELECT status, slot, dispatch_no FROM jobs WHERE id = :id", id=message[0])
        return [(row.status, bool(row.slot), row.dispatch_no) for row in found] == [("queued", True, message[1])]

    @when(lambda self: self.with_claims(UNANSWERED))
    @step(10, place=places, which=places)
    def answer(self, place: int, which: int) -> None:
        """Let the reply to a claim's commit arrive; the work begins."""
        claims = self.one(self.with_claims(UNANSWERED), place).of(UNANSWERED)
        claims[which % len(claims)].stage = WORKING

    @when(lambda self: self.with_claims(UNANSWERED))
    @step(place=places, which=places)
    def lose_reply(self, place: int, which: int) -> None:
        """Lose the reply to a claim's commit, so that nobody knows of it."""
        process = self.one(self.with_claims(UNANSWERED), place)
        claims = process.of(UNANSWERED)
        process.hand.remove(claims[which % len(claims)])

    # Outcomes.

    @when(lambda self: self.with_claims(UNANSWERED, WORKING))
    @step(
        16,
        place=places,
        which=st.lists(places, min_size=1, max_size=3),
        endings=st.lists(st.sampled_from(Ending), min_size=3, max_size=3),
        later=rarely,
        follows=rarely,
        crash=rarely,
        reply_lost=rarely,
    )
    def finish(
        self, place: int, which: list[int], endings: list[Ending], later: bool, follows: bool, crash: bool, reply_lost: bool
    ) -> None:
        """End attempts of one worker, some of which have lost their claim; the transaction, or its reply, may be lost."""
        process = self.one(self.with_claims(UNANSWERED, WORKING), place)
        hand = process.of(UNANSWERED, WORKING)
        ended = {claim.taken.id: claim for claim in (hand[number % len(hand)] for number in which)}
        for claim, ending in zip(ended.values(), endings, strict=False):
            claim.outcome = end_of(claim.taken, ending, later=later, follows=follows)
        self.write_outcomes(process.id, [claim.outcome for claim in ended.values()], crash=crash)
        for claim in ended.values():
            if reply_lost or crash:
                claim.stage = OWED
            else:
                process.hand.remove(claim)

    @when(lambda self: self.with_claims(OWED))
    @step(6, place=places, which=places)
    def repeat(self, place: int, which: int) -> None:
        """Write an outcome again to which no reply came."""
        process = self.one(self.with_claims(OWED), place)
        owed = process.of(OWED)
        claim = owed[which % len(owed)]
        self.write_outcomes(process.id, [claim.outcome])
        process.hand.remove(claim)

    @when(lambda self: self.written)
    @step(which=places)
    def write_late(self, which: int) -> None:
        """Write an outcome again that was written, or refused, some time ago, by whoever wrote it."""
        worker, outcome = self.written[which % len(self.written)]
        self.write_outcomes(worker, [outcome])

    @when(lambda self: self.made)
    @step(which=places, ending=st.sampled_from(Ending))
    def write_from_the_dead(self, which: int, ending: Ending) -> None:
        """Write an outcome of any claim that there ever was, as a process does that nobody believes to be there."""
        claim = self.made[which % len(self.made)]
        held = {id(mine) for process in self.processes for mine in process.hand}
        if id(claim) not in held:
            self.write_outcomes(claim.worker, [end_of(claim.taken, ending)])

    @when(lambda self: self.made)
    @step(which=places, percent=st.floats(0, 100))
    def say_progress(self, which: int, percent: float) -> None:
        """Write the progress of a claim, which only one that still holds may."""
        claim = self.made[which % len(self.made)]
        before = self.row("jobs", claim.taken.id)
        with self.transaction() as session:
            progress.write(session, worker_id=claim.worker, steps=[(*claim.key, percent, "so far")])
        after = self.row("jobs", claim.taken.id)
        assert after == before or self.holds(before, claim.worker, claim.taken.claim_no)

    # The lease.

    @when(lambda self: self.running())
    @step(5, place=places)
    def beat(self, place: int) -> None:
        """Beat, and hand back what two beats in a row have found and the process knows nothing of."""
        self.beat_of(self.one(self.running(), place))

    def beat_of(self, process: Process) -> None:
        """Do what the pulse does."""
        if process.missed:
            for claim in process.of(UNANSWERED):  # a reply takes less than the time between two beats
                if claim.key in process.missed:
                    claim.stage = WORKING
        lost: set[tuple[str, int]] = set()
        held: dict[str, Any] = {}
        with self.transaction() as session:
            alive = workers.beat(session, worker_id=process.id)
            if alive:
                held = workers.claims_of(session, worker_id=process.id)
        if not alive:
            process.hand, process.missed, process.id = [], set(), self.registered()
            return
        known = {claim.key for claim in process.of(WORKING, OWED)}
        unknown = {(job_id, claim_no) for job_id, (claim_no, _) in held.items()} - known
        lost, process.missed = unknown & process.missed, unknown - process.missed
        if lost:
            with self.transaction() as session:
                attempts.hand_back_unknown(session, worker_id=process.id, claims=sorted(lost))
            kept = self.rows("SELECT id, claim_no FROM jobs WHERE worker_id = :worker AND slot", worker=process.id)
            assert not lost & {(str(row.id), row.claim_no) for row in kept}, "A8: an unknown claim was not handed back"

    @when(lambda self: self.running())
    @step(place=places)
    def crash(self, place: int) -> None:
        """End a process on the spot."""
        process = self.one(self.running(), place)
        process.mode, process.hand, process.missed = CRASHED, [], set()

    @when(lambda self: any(process.mode == CRASHED for process in self.processes))
    @step(6)
    def restart(self) -> None:
        """Start what has crashed, as its supervisor does."""
        for process in self.processes:
            if process.mode == CRASHED:
                process.mode, process.id = RUNNING, self.registered()

    @when(lambda self: self.running())
    @step(place=places)
    def freeze(self, place: int) -> None:
        """Stop a process in the middle of whatever it does."""
        self.one(self.running(), place).mode = FROZEN

    @when(lambda self: any(process.mode == FROZEN for process in self.processes))
    @step(4)
    def wake_up_late(self) -> None:
        """Let frozen processes go on as if nothing had happened."""
        for process in self.processes:
            if process.mode == FROZEN:
                process.mode = RUNNING

    @when(lambda self: self.running())
    @step(place=places)
    def leave(self, place: int) -> None:
        """Shut a worker down in good order, with what it could not end in time, and start another one."""
        process = self.one(self.running(), place)
        with self.transaction() as session:
            workers.leave(session, worker_id=process.id)
        process.hand, process.missed, process.id = [], set(), self.registered()
