"""Exploration to the end, breadth first: every state's invariants, and from every state a way to where all is done."""

from array import array
from dataclasses import dataclass

from tests.model.folding import fold
from tests.model.steps import Step, steps
from tests.model.verbs import LIMIT, Rules
from tests.model.world import ASKED, FINAL, LEGAL, PROCESSING, RUNNING, WORKING, Job, World


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration came to.

    :param states: how many there are.
    :param broken: the invariant that does not hold; None where all do.
    :param trace: the shortest way to the state that breaks it, or that nothing leads out of.
    """

    states: int
    broken: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.states:,} states: {self.broken or 'sound'}" + "".join(f"\n  {step}" for step in self.trace)


def explore(start: World, rules: Rules, *, slow: bool = False, folds: bool = False) -> Found:
    """Go through every state that can be reached; stop at the first that breaks an invariant.

    When the whole graph is known, go back from the states in which every accepted job has ended and every slot is free, by kind
    steps only. A state that is not met is one from which, when faults end, some job or slot is stuck. That there is a way from
    everywhere is enough: in a finite graph, whoever takes each possible step at some time arrives.

    :param slow: consumers take longer than the time after which a message is sent again.
    :param folds: go through one of all worlds that are alike; a trace then may change the names of jobs and processes.
    """
    number_of: dict[World, int] = {start: 0}
    worlds = [start]
    came_by: list[tuple[int, Step | None]] = [(-1, None)]
    before_of: list[array[int]] = [array("l")]
    place = 0
    while place < len(worlds):
        world = worlds[place]
        for step in steps(world, rules, slow=slow):
            if broken := broken_in(world, step):
                return Found(len(worlds), broken, (*_trace(came_by, place), str(step)))
            after = fold(step.world) if folds else step.world
            number = number_of.setdefault(after, len(worlds))
            if number == len(worlds):
                worlds.append(after)
                came_by.append((place, step))
                before_of.append(array("l"))
            if step.kind:
                before_of[number].append(place)
        place += 1
    stuck = _stuck(worlds, before_of)
    if stuck is not None:
        return Found(len(worlds), "A8: stuck when faults end", _trace(came_by, stuck))
    return Found(len(worlds))


def broken_in(before: World, step: Step) -> str | None:
    """Name the invariant that a step, or the state after it, breaks."""
    after = step.world
    for number, (was, job) in enumerate(zip(before.jobs, after.jobs, strict=True)):
        if was is not job and (broken := _broken_on(number, was, job, step.name)):
            return broken
    flags = sum(job.slot for job in after.jobs)
    if flags > LIMIT:
        return f"A3: {flags} slots are held"
    if flags != after.held:
        return f"A3: {after.held} slots are counted and {flags} are held"
    return after.broken or _broken_at_work(after)


def _broken_on(number: int, was: Job, job: Job, name: str) -> str | None:
    if was.status != job.status and job.status not in LEGAL[was.status]:
        return f"A4: job {number} went from {was.status} to {job.status}"
    if was.status in FINAL and was.status != job.status and name != "replay":
        return f"A5: job {number} left {was.status} without a replay"
    if job.results > 1:
        return f"A2: job {number} has {job.results} results"
    if job.claim_no < was.claim_no:
        return f"A5: the claim number of job {number} fell"
    if job.status == PROCESSING and not job.slot:
        return f"A3: job {number} is processing without a slot"
    return None


def _broken_at_work(world: World) -> str | None:
    for process in world.processes:
        # One whose lease is over may still be at work; nothing else may be at work without its slot.
        if process.mode == RUNNING and process.id in world.alive:
            for claim in process.hand:
                job = world.jobs[claim.job]
                if claim.stage == WORKING and (job.slot, job.claims, job.worker) != (True, claim.made, process.id):
                    return f"A3: an attempt at job {claim.job} works without its slot"
    return None


def _stuck(worlds: list[World], before_of: list["array[int]"]) -> int | None:
    """Find the first state from which no kind steps lead to the end of all that was accepted."""
    arrives = bytearray(len(worlds))
    ends = [number for number, world in enumerate(worlds) if _is_done(world)]
    for number in ends:
        arrives[number] = 1
    while ends:
        for number in before_of[ends.pop()]:
            if not arrives[number]:
                arrives[number] = 1
                ends.append(number)
    number = arrives.find(0)
    return None if number < 0 else number


def _is_done(world: World) -> bool:
    return world.held == 0 and all(job.status in FINAL or job.status == ASKED for job in world.jobs)


def _trace(came_by: list[tuple[int, Step | None]], number: int) -> tuple[str, ...]:
    names = []
    while number:
        number, step = came_by[number]
        names.append(str(step))
    return tuple(reversed(names))
