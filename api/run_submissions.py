"""Run submissions: from what a caller sent to what admission takes, with dependencies by names of the caller's own."""

from collections.abc import Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import msgspec

from actors.registry import Registry
from api.dependencies import Caller
from api.run_schemas import RunIn, RunJobIn, rank
from api.submissions import hash_of, plain, submissions_of
from api.wire import JobIn
from persistence.admission import Submission, Unit
from persistence.errors import PayloadTooLargeError, ValidationError
from persistence.runs import NewRun

# All together; each is a row that is written with the run.
MOST_DEPENDENCIES = 100_000
_SHOWN = 10


def unit_of(asked: RunIn, *, key: str | None, registry: Registry, caller: Caller) -> Unit:
    """Check a run with all its jobs.

    :param key: an idempotency key, already checked.
    :raises UnknownJobTypeError: there is no such job type.
    :raises PayloadTooLargeError: the tier allows less.
    :raises ValidationError: names the field that is wrong, be it of a job or a dependency that is unknown or goes in a circle.
    """
    jobs = [_job_in(job, asked) for job in asked.jobs]
    submissions = submissions_of(jobs, registry=registry, caller=caller)
    new = NewRun(asked.name, asked.on_failure, _config(asked, caller))
    return Unit(caller.user_id, _connected(asked.jobs, submissions), key, key and _hash_of(asked), run=new)


def _hash_of(asked: RunIn) -> str:
    jobs = [plain(_job_in(job, asked)) | {"key": job.key, "depends_on": job.depends_on} for job in asked.jobs]
    config = None if isinstance(asked.config, msgspec.UnsetType) else msgspec.json.decode(asked.config)
    return hash_of({"name": asked.name, "on_failure": asked.on_failure, "config": config, "jobs": jobs})


def _job_in(job: RunJobIn, asked: RunIn) -> JobIn:
    return JobIn(
        type=job.type,
        payload=job.payload,
        priority=rank(asked.priority if job.priority is None else job.priority),
        run_after=job.run_after,
        max_attempts=job.max_attempts,
        tags=job.tags,
    )


def _config(asked: RunIn, caller: Caller) -> str | None:
    if isinstance(asked.config, msgspec.UnsetType):
        return None
    most = caller.limits.max_payload_bytes
    if (size := memoryview(asked.config).nbytes) > most:
        raise PayloadTooLargeError(f"config: {size} bytes, and the tier allows {most}", limit=most, field="config")
    return bytes(asked.config).decode()


def _connected(jobs: Sequence[RunJobIn], submissions: Sequence[Submission]) -> list[Submission]:
    """Put ids in the place of the caller's keys."""
    ids: dict[str, str] = {}
    for place, (job, submission) in enumerate(zip(jobs, submissions, strict=True)):
        if job.key is not None and ids.setdefault(job.key, submission.id) != submission.id:
            raise ValidationError(f"jobs[{place}].key: another job has it already: {job.key}", field=f"jobs[{place}].key")
    if not any(job.depends_on for job in jobs):
        return list(submissions)
    count = sum(len(job.depends_on) for job in jobs)
    if count > MOST_DEPENDENCIES:
        message = f"depends_on: {count} dependencies, and a run has {MOST_DEPENDENCIES} at the most"
        raise ValidationError(message, field="depends_on", limit=MOST_DEPENDENCIES)
    for place, job in enumerate(jobs):
        for key in job.depends_on:
            if key not in ids:
                field = f"jobs[{place}].depends_on"
                raise ValidationError(f"{field}: no job of this run has the key {key}", field=field)
    _refuse_circles(jobs)
    return [
        replace(submission, depends_on=tuple(ids[key] for key in dict.fromkeys(job.depends_on))) if job.depends_on else submission
        for job, submission in zip(jobs, submissions, strict=True)
    ]


def _refuse_circles(jobs: Sequence[RunJobIn]) -> None:
    # A job without a key is nobody's parent, and so is in no circle.
    try:
        TopologicalSorter({job.key: job.depends_on for job in jobs if job.key is not None}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        shown = " → ".join(circle if len(circle) <= _SHOWN else [*circle[: _SHOWN - 1], "…"])
        raise ValidationError(f"depends_on: these jobs wait for each other: {shown}", field="depends_on") from error
