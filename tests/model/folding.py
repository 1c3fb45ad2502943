"""Folding: worlds that differ only in who is called what are one, so that there are fewer to go through.

Jobs are alike, and so are processes, and ids mean nothing but who is who. A job that has ended for good is remembered by its
end alone: no verb reads the rest of it.
"""

from tests.model.world import CANCELLED, COMPLETED, NOBODY, Job, Process, World


def fold(world: World) -> World:
    """Give the world that stands for all that are like this one."""
    world = _forgotten(world)
    if len(world.jobs) > 1 and world.jobs[1] < world.jobs[0]:
        world = _jobs_swapped(world)
    if len(world.processes) > 1 and _rank(world.processes[1]) < _rank(world.processes[0]):
        world = world._replace(processes=(world.processes[1], world.processes[0], *world.processes[2:]))
    return _named_anew(world)


def _rank(process: Process) -> tuple[object, ...]:
    return (process.mode, process.hand)


def _forgotten(world: World) -> World:
    for number, job in enumerate(world.jobs):
        if job.status in {COMPLETED, CANCELLED} and not job.slot and job.claim_no:
            world = world.with_job(number, Job(job.status, results=job.results))
            letters = tuple(letter for letter in world.letters if letter[0] != number)
            messages = tuple(message for message in world.messages if message.job != number)
            world = world._replace(letters=letters, messages=messages)
    return world


def _jobs_swapped(world: World) -> World:
    other = (1, 0, *range(2, len(world.jobs)))
    return world._replace(
        jobs=tuple(world.jobs[number] for number in other),
        messages=tuple(sorted(message._replace(job=other[message.job]) for message in world.messages)),
        letters=tuple(sorted((other[number], claim_no) for number, claim_no in world.letters)),
        processes=tuple(
            process._replace(hand=tuple(sorted(claim._replace(job=other[claim.job]) for claim in process.hand)))
            if process.hand
            else process
            for process in world.processes
        ),
    )


def _named_anew(world: World) -> World:
    """Number the ids in the order in which they are met."""
    names = {NOBODY: NOBODY}
    for process in world.processes:
        names.setdefault(process.id, len(names))
    for job in world.jobs:
        names.setdefault(job.worker, len(names))
    for worker in world.alive:
        names.setdefault(worker, len(names))
    if all(name == fresh for name, fresh in names.items()):
        return world
    return world._replace(
        jobs=tuple(job._replace(worker=names[job.worker]) if job.worker else job for job in world.jobs),
        processes=tuple(process._replace(id=names[process.id]) for process in world.processes),
        alive=tuple(sorted(names[worker] for worker in world.alive)),
    )
