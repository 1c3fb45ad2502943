"""Submissions: from what a caller sent to what admission takes, checked against the job type and the caller's tier."""

import asyncio
import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar.params import HeaderParameter

from actors.registry import JobType, Registry
from api.dependencies import Caller
from api.wire import JobIn
from persistence.admission import Admitted, Submission, Unit
from persistence.errors import DatabaseUnavailableError, GreenroomError, PayloadTooLargeError, ValidationError
from persistence.ids import is_id
from persistence.ledger import Ledger

MOST_IN_BULK = 10_000
# What both databases and every reader of the answers can hold, whatever the time zone.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_ADMISSION_SECONDS = 30.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="The same key and body give the same answer, however often it is sent."),
]


def check_moment(moment: datetime | None, *, field: str) -> None:
    """See that databases and clients can hold a moment.

    :raises ValidationError: they cannot.
    """
    if moment is not None and not _EARLIEST < moment < _LATEST:
        raise ValidationError(f"{field}: needs to lie between 1970 and 9999", field=field)


def submission_of(job: JobIn, *, registry: Registry, caller: Caller) -> Submission:
    """Check one job.

    :raises UnknownJobTypeError: there is no such job type.
    :raises PayloadTooLargeError: the tier allows less.
    :raises ValidationError: names the field that is wrong.
    """
    job_type = registry.get(job.type)
    payload = payload_of(job.payload, job_type=job_type, caller=caller)
    for parent in job.depends_on:
        if not is_id(parent):
            raise ValidationError("depends_on: not the id of a job", field="depends_on")
    check_moment(job.run_after, field="run_after")
    return Submission(
        job.type,
        job_type.queue,
        payload,
        job.max_attempts or job_type.max_attempts,
        job.rank,
        job.run_after,
        tuple(dict.fromkeys(job.tags)),
        tuple(dict.fromkeys(job.depends_on)),
    )


def payload_of(raw: msgspec.Raw, *, job_type: JobType, caller: Caller) -> str:
    """Check a payload and give the JSON text to store.

    A job type that measures its payloads itself decides alone what is too much; the body's limit still stands before it.

    :raises PayloadTooLargeError: the tier allows less.
    :raises ValidationError: names the field that is wrong.
    """
    if job_type.measure is not None:
        payload = job_type.payload.validate_json(raw)
        job_type.measure(job_type.payload.decode(payload), caller.limits)
        return payload
    most = caller.limits.max_payload_bytes
    if (size := memoryview(raw).nbytes) > most:
        raise PayloadTooLargeError(f"payload: {size} bytes, and the tier allows {most}", limit=most, field="payload")
    return job_type.payload.validate_json(raw)


def submissions_of(jobs: list[JobIn], *, registry: Registry, caller: Caller) -> list[Submission]:
    """Check the jobs of a bulk; an error says which one it is about.

    :raises ValidationError: they are too many; otherwise as for one job.
    """
    if len(jobs) > MOST_IN_BULK:
        raise ValidationError(f"jobs: {len(jobs)}, and a bulk has {MOST_IN_BULK} at the most", field="jobs", limit=MOST_IN_BULK)
    checked = []
    try:
        for job in jobs:
            checked.append(submission_of(job, registry=registry, caller=caller))  # noqa: PERF401 - its length is the place of the error
    except GreenroomError as error:
        place = f"jobs[{len(checked)}]"
        field = f"{place}.{error.fields['field']}" if "field" in error.fields else place
        raise type(error)(f"{place}: {error.message}", **(error.fields | {"field": field})) from error
    return checked


def idempotency_key(value: str | None) -> str | None:
    """Check an idempotency key.

    :raises ValidationError: it is empty, too long or holds other than printable ASCII characters.
    """
    if value is not None and _KEY.fullmatch(value) is None:
        raise ValidationError("Idempotency-Key: 1 to 255 printable ASCII characters without spaces", field="Idempotency-Key")
    return value


def plain(job: JobIn) -> dict[str, Any]:
    """Say what a job's request asks for, whichever way it is written."""
    asked = {**msgspec.structs.asdict(job), "priority": job.rank, "payload": msgspec.json.decode(job.payload)}
    if job.run_after is not None:
        asked["run_after"] = job.run_after.astimezone(UTC)
    return asked


def hash_of(asked: dict[str, Any]) -> str:
    """Name what a request asks for, whatever the order of its fields and the space between them."""
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


async def admit(ledger: Ledger, unit: Unit) -> Admitted:
    """Admit jobs and wait until that is committed, without a thread that does the waiting.

    :raises GreenroomError: why they were not admitted.
    :raises DatabaseUnavailableError: no commit within the time.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(ledger.hand_in(unit)), _ADMISSION_SECONDS)
    except TimeoutError as error:
        raise DatabaseUnavailableError from error
