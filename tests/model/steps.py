"""What can happen next: the steps of callers, workers, the sweeper and the broker, and every mishap.

A step is kind when it is the system's own doing and no fault: when faults end, only kind steps are left. A mishap takes
one of the few that a world has; within that bound everything happens in every order.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model import verbs
from tests.model.verbs import HANDED_BACK, RETRY, SNOOZED, Rules
from tests.model.world import (
    ASKED,
    COMPLETED,
    CRASHED,
    FAILED,
    FINAL,
    FROZEN,
    MET,
    MISSED,
    OWED,
    QUEUED,
    RUNNING,
    UNANSWERED,
    WORKING,
    Claim,
    Message,
    Process,
    World,
)


class Step(NamedTuple):
    """One step and the world after it."""

    name: str
    of: int
    kind: bool
    world: World
    how: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.of} {self.how}".rstrip()


NAMES = (
    "admit", "dispatch", "take", "deliver", "claim", "duplicate", "answer", "lose_reply", "finish", "repeat", "beat", "cancel",
    "replay", "pause", "crash", "restart", "freeze", "wake_up_late", "expire", "rescue", "promote", "resend", "take_back", "lose",
    "wipe", "change_broker",
)  # fmt: skip


def steps(world: World, rules: Rules, *, slow: bool = False) -> Iterator[Step]:
    """List all that can happen next.

    :param slow: consumers take longer than the time after which a message is sent again.
    """
    yield from _callers(world, rules)
    yield from _sweeper(world, rules)
    yield from _broker(world, slow=slow)
    for place, process in enumerate(world.processes):
        if process.mode == RUNNING:
            yield from _work(world, rules, place, process, slow=slow)
            if process.id in world.alive or rules.beat_registers_anew or not rules.dead_for_good:
                yield from _beat(world, rules, place, process)
        yield from _fate(world, place, process)


def _mishap(world: World) -> World:
    return world._replace(mishaps=world.mishaps - 1)


def _callers(world: World, rules: Rules) -> Iterator[Step]:
    for number, job in enumerate(world.jobs):
        if job.status == ASKED:
            # Jobs are alike: they are admitted in order.
            if number == 0 or world.jobs[number - 1].status != ASKED:
                yield Step("admit", number, False, verbs.admit(world, number))
        elif job.status not in FINAL:
            yield Step("cancel", number, False, verbs.cancel(world, rules, number))
        if world.mishaps and job.status == QUEUED and job.slot:
            yield Step("pause", number, False, verbs.take_back(_mishap(world), rules, number))
    if world.mishaps:
        for number, claim_no in world.letters:
            yield Step("replay", number, False, verbs.replay(_mishap(world), rules, number, claim_no))


def _sweeper(world: World, rules: Rules) -> Iterator[Step]:
    for number, job in enumerate(world.jobs):
        if verbs.is_orphan(world, rules, job):
            yield Step("rescue", number, True, verbs.rescue(world, rules, number))
        if job.waits and job.status == QUEUED:
            yield Step("promote", number, True, world.with_job(number, job._replace(waits=False)))
        if job.status == QUEUED and job.slot:
            if world.sql and rules.sql_takes_back:
                yield Step("take_back", number, True, verbs.take_back(world, rules, number))
            elif not world.sql and rules.sweep_resends:
                yield Step("resend", number, True, _resent(world, rules, number))
        if not world.sql and verbs.is_ready(world, rules, number):
            yield Step("dispatch", number, True, verbs.dispatch(world, number))
    present = {process.id for process in world.processes if process.mode == RUNNING}
    for worker in world.alive:
        left = world._replace(alive=tuple(one for one in world.alive if one != worker))
        if worker not in present:
            yield Step("expire", worker, True, left)
        elif world.mishaps:
            yield Step("expire", worker, False, _mishap(left))  # an outage, or a machine that is slow beyond its lease


def _resent(world: World, rules: Rules, number: int) -> World:
    aged = {message._replace(aged=True) if message.job == number else message for message in world.messages}
    if not rules.resend_keeps_number:
        return verbs.numbered_anew(world._replace(messages=tuple(sorted(aged))), number)
    current = {message for message in aged if message.job == number and not message.behind} or {Message(number, 0)}
    return world._replace(messages=tuple(sorted(aged | current)))


def _broker(world: World, *, slow: bool) -> Iterator[Step]:
    if not world.mishaps:
        return
    for message in world.messages:
        rest = tuple(other for other in world.messages if other != message)
        yield Step("lose", message.job, False, _mishap(world)._replace(messages=rest))
    if len(world.messages) > 1:
        yield Step("wipe", 0, False, _mishap(world)._replace(messages=()))
    if not world.sql and not slow:
        yield Step("change_broker", 0, False, _mishap(world)._replace(messages=(), sql=True))


def _work(world: World, rules: Rules, place: int, process: Process, *, slow: bool) -> Iterator[Step]:
    if world.sql:
        for number in range(len(world.jobs)):
            if verbs.is_ready(world, rules, number) and (after := verbs.take(world, rules, number, process.id)):
                yield Step("take", number, True, _unanswered(after, place, number))
    for message in world.messages:
        if slow and not message.aged:
            continue
        after = verbs.claim(world, rules, message, process.id)
        rest = tuple(other for other in world.messages if other != message)
        if after is None:
            yield Step("deliver", message.job, True, world._replace(messages=rest))
            continue
        yield Step("claim", message.job, True, _unanswered(after._replace(messages=rest), place, message.job))
        if world.mishaps:  # the message comes a second time
            yield Step("duplicate", message.job, False, _unanswered(_mishap(after), place, message.job))
    for claim in process.hand:
        rest_of_hand = [other for other in process.hand if other != claim]
        if claim.stage in {UNANSWERED, MET}:
            answered = world.with_hand(place, [*rest_of_hand, claim._replace(stage=WORKING)])
            yield Step("answer", claim.job, True, answered)
            if world.mishaps:
                yield Step("lose_reply", claim.job, False, _mishap(world).with_hand(place, rest_of_hand))
        elif claim.stage == WORKING:
            yield from _end(world, rules, place, process, claim)
        elif claim.stage == OWED:
            after = verbs.finish(world, rules, claim.job, process.id, claim.claim_no, claim.made, claim.ending)
            yield Step("repeat", claim.job, True, after.with_hand(place, rest_of_hand))


def _unanswered(world: World, place: int, number: int) -> World:
    job = world.jobs[number]
    hand = [*world.processes[place].hand, Claim(number, job.claim_no, job.claims, UNANSWERED)]
    return world.with_hand(place, hand)


def _end(world: World, rules: Rules, place: int, process: Process, claim: Claim) -> Iterator[Step]:
    rest = [other for other in process.hand if other != claim]
    for ending in (COMPLETED, RETRY, FAILED, SNOOZED, HANDED_BACK):
        before = world
        if ending in {SNOOZED, HANDED_BACK}:
            if not world.mishaps:
                continue
            before = _mishap(world)
        after = verbs.finish(before, rules, claim.job, process.id, claim.claim_no, claim.made, ending)
        yield Step("finish", claim.job, ending == COMPLETED, after.with_hand(place, rest), ending)
        if before.mishaps:
            owed = _mishap(after).with_hand(place, [*rest, claim._replace(stage=OWED, ending=ending)])
            yield Step("finish", claim.job, False, owed, f"{ending}, reply lost")


def _beat(world: World, rules: Rules, place: int, process: Process) -> Iterator[Step]:
    if process.id not in world.alive:
        if not rules.dead_for_good:
            yield Step("beat", place, True, world._replace(alive=tuple(sorted({*world.alive, process.id}))))
            return
        fresh = world.fresh_id()
        hand = () if rules.beat_drops_all else process.hand
        anew = world.with_process(place, Process(fresh, RUNNING, hand))
        yield Step("beat", place, True, anew._replace(alive=tuple(sorted({*world.alive, fresh}))))
        return
    if not rules.beat_compares or any(claim.stage == MET for claim in process.hand):
        return  # a reply takes less than the time between two beats
    known = {(claim.job, claim.claim_no) for claim in process.hand if claim.stage in {WORKING, OWED}}
    after = {claim for claim in process.hand if claim.stage != MISSED}
    missed = {claim for claim in process.hand if claim.stage == MISSED}
    for number, job in enumerate(world.jobs):
        if not job.slot or job.worker != process.id or (number, job.claim_no) in known:
            continue
        claim = Claim(number, job.claim_no, job.claims, MISSED)
        under_way = claim._replace(stage=UNANSWERED)
        if claim in missed or not rules.beat_waits_for_second:
            world = verbs.finish(world, rules, number, process.id, claim.claim_no, claim.made, HANDED_BACK)
        elif under_way in after:
            after = (after - {under_way}) | {claim._replace(stage=MET)}
        else:
            after.add(claim)
    yield Step("beat", place, True, world.with_hand(place, after))


def _fate(world: World, place: int, process: Process) -> Iterator[Step]:
    if process.mode == RUNNING and world.mishaps:
        yield Step("crash", place, False, _mishap(world).with_process(place, Process(process.id, CRASHED)))
        yield Step("freeze", place, False, _mishap(world).with_process(place, process._replace(mode=FROZEN)))
    if process.mode == FROZEN:
        yield Step("wake_up_late", place, True, world.with_process(place, process._replace(mode=RUNNING)))
    if process.mode == CRASHED:
        fresh = world.fresh_id()
        anew = world.with_process(place, Process(fresh))
        yield Step("restart", place, True, anew._replace(alive=tuple(sorted({*world.alive, fresh}))))
