"""The verbs of the protocol as the database does them, each in one transaction, with every rule that can be left out."""

from dataclasses import dataclass, fields

from tests.model.world import CANCELLED, COMPLETED, FAILED, FINAL, NOBODY, PROCESSING, QUEUED, Job, Message, World

LIMIT = 1
MOST_ATTEMPTS = 2

SNOOZED, HANDED_BACK, RETRY = "snoozed", "handed back", "retry"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the protocol, by what is asked where; all of them are kept unless one is left out."""

    claim_asks_dispatch: bool = True  # rule 1
    claim_asks_slot: bool = True  # rule 1
    claim_asks_status: bool = True  # rule 1
    fence_asks_claim: bool = True  # rule 2
    fence_asks_worker: bool = True  # rule 2
    replay_keeps_claim_no: bool = True  # rule 2
    release_asks_flag: bool = True  # rule 3
    dispatch_asks_limit: bool = True  # A3 itself
    cancel_leaves_slot: bool = True  # rule 3
    cancel_releases_queued: bool = True  # rule 3
    refusal_releases: bool = True  # rule 3
    rescue_whatever_status: bool = True  # rule 4
    rescue_asks_death: bool = True  # rule 4
    beat_compares: bool = True  # rule 5
    beat_waits_for_second: bool = True  # rule 5
    dead_for_good: bool = True  # rule 6
    claim_asks_life: bool = True  # rule 6
    beat_registers_anew: bool = True  # rule 6
    beat_drops_all: bool = True  # rule 6
    sweep_resends: bool = True  # rule 18, and A8
    resend_keeps_number: bool = True  # rule 18
    sql_takes_back: bool = True  # rule 19
    replay_only_once: bool = True  # A5

    def left_out(self) -> list[str]:
        """Name the rules that are not kept."""
        return [field.name for field in fields(self) if not getattr(self, field.name)]


def admit(world: World, number: int) -> World:
    """Accept a job."""
    return world.with_job(number, world.jobs[number]._replace(status=QUEUED))


def is_ready(world: World, rules: Rules, number: int) -> bool:
    """Tell whether a job stands in its lane and its user has a free slot."""
    job = world.jobs[number]
    room = world.held < LIMIT or not rules.dispatch_asks_limit
    return job.status == QUEUED and not job.waits and not job.slot and room


def dispatch(world: World, number: int) -> World:
    """Take a slot and send a message; all earlier messages of the job are old from now on."""
    job = world.jobs[number]._replace(slot=True, worker=NOBODY)
    return numbered_anew(world.with_job(number, job)._replace(held=world.held + 1), number)


def numbered_anew(world: World, number: int) -> World:
    """Raise a job's dispatch number and send its message."""
    messages = {message._replace(behind=1) if message.job == number else message for message in world.messages}
    return world._replace(messages=tuple(sorted(messages | {Message(number, 0)})))


def take(world: World, rules: Rules, number: int, worker: int) -> World | None:
    """Take a slot and claim in one transaction, as the SQL broker does."""
    if rules.claim_asks_life and worker not in world.alive:
        return None
    return _claimed(world.with_job(number, world.jobs[number]._replace(slot=True))._replace(held=world.held + 1), number, worker)


def claim(world: World, rules: Rules, message: Message, worker: int) -> World | None:
    """Claim what a message names; None where a guard refuses it."""
    job = world.jobs[message.job]
    if (
        (rules.claim_asks_dispatch and message.behind)
        or (rules.claim_asks_slot and not job.slot)
        or (rules.claim_asks_status and job.status != QUEUED)
        or (rules.claim_asks_life and worker not in world.alive)
    ):
        return None
    return _claimed(world, message.job, worker)


def _claimed(world: World, number: int, worker: int) -> World:
    if worker not in world.alive:
        world = world._replace(broken="A5: a worker whose lease is over made a claim")
    job = world.jobs[number]
    job = job._replace(
        status=PROCESSING, worker=worker, claim_no=job.claim_no + 1, attempt=job.attempt + 1, claims=job.claims + 1
    )
    return world.with_job(number, job)


def finish(world: World, rules: Rules, number: int, worker: int, claim_no: int, made: int, ending: str) -> World:
    """Write an outcome behind the fence; what is refused gives back the slot that its claim still holds."""
    job = world.jobs[number]
    fenced = (
        job.status == PROCESSING
        and job.slot
        and (claim_no == job.claim_no or not rules.fence_asks_claim)
        and (worker == job.worker or not rules.fence_asks_worker)
    )
    if not fenced:
        released = claim_no == job.claim_no and job.status in FINAL and rules.refusal_releases
        return _released(world, rules, number) if released else world
    if made != job.claims:
        world = world._replace(broken=f"A5: claim {made} of job {number} wrote over claim {job.claims}")
    return _ended(_released(world, rules, number), number, ending)


def _ended(world: World, number: int, ending: str) -> World:
    job = world.jobs[number]
    if ending == COMPLETED:
        return world.with_job(number, job._replace(status=COMPLETED, results=job.results + 1))
    if ending == FAILED or (ending == RETRY and job.attempt >= MOST_ATTEMPTS):
        letters = tuple(sorted({*world.letters, (number, job.claim_no)}))
        return world.with_job(number, job._replace(status=FAILED))._replace(letters=letters)
    spared = ending in {SNOOZED, HANDED_BACK}
    job = job._replace(status=QUEUED, waits=ending != HANDED_BACK, attempt=job.attempt - spared)
    return world.with_job(number, job)


def _released(world: World, rules: Rules, number: int) -> World:
    job = world.jobs[number]
    if not job.slot and rules.release_asks_flag:
        return world
    # The row keeps its worker's name; no verb reads it without a slot.
    return world.with_job(number, job._replace(slot=False, worker=NOBODY))._replace(held=world.held - 1)


def cancel(world: World, rules: Rules, number: int) -> World:
    """Cancel: at once and for good; only what nobody works on gives its slot back at once."""
    job = world.jobs[number]
    keeps = rules.cancel_leaves_slot if job.status == PROCESSING else not rules.cancel_releases_queued
    world = world.with_job(number, job._replace(status=CANCELLED, waits=False))
    return world if keeps or not job.slot else _released(world, rules, number)


def take_back(world: World, rules: Rules, number: int) -> World:
    """Return what was sent and never claimed to its lane, as a pause does and the SQL broker's sweep."""
    return _released(world, rules, number)


def is_orphan(world: World, rules: Rules, job: Job) -> bool:
    """Tell whether the sweeper rescues a job."""
    if not job.slot or job.worker == NOBODY or (job.worker in world.alive and rules.rescue_asks_death):
        return False
    return job.status == PROCESSING or (job.status in FINAL and rules.rescue_whatever_status)


def rescue(world: World, rules: Rules, number: int) -> World:
    """Take back what a dead worker held: the job itself, or only the slot of a final one."""
    status, attempt = world.jobs[number].status, world.jobs[number].attempt
    world = _released(world, rules, number)
    if status != PROCESSING:
        return world
    if attempt >= MOST_ATTEMPTS:
        return _ended(world, number, FAILED)
    return world.with_job(number, world.jobs[number]._replace(status=QUEUED))


def replay(world: World, rules: Rules, number: int, claim_no: int) -> World:
    """Send a failed job back to its lane, once for each of its dead letters."""
    job = world.jobs[number]
    if rules.replay_only_once:
        world = world._replace(letters=tuple(letter for letter in world.letters if letter != (number, claim_no)))
        if job.status != FAILED or job.slot or job.claim_no != claim_no:
            return world
    keeps = rules.replay_keeps_claim_no
    return world.with_job(number, job._replace(status=QUEUED, attempt=0, claim_no=job.claim_no if keeps else 0, worker=NOBODY))
