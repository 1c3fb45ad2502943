"""The wire: how jobs look in requests and responses."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from persistence.admission import Admitted, Submission
from persistence.errors import NotFoundError
from persistence.ids import is_id
from persistence.job_views import Attempt, JobView
from persistence.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from persistence.states import Status
from persistence.transitions import Transition

PREFIX = "/api/v1"
PRIORITIES = {"low": LOWEST_PRIORITY, "normal": DEFAULT_PRIORITY, "high": HIGHEST_PRIORITY}

Priority = Annotated[int, msgspec.Meta(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] | Literal["low", "normal", "high"]
# Tags are stored one a line.
TagText = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
MaxAttempts = Annotated[int, msgspec.Meta(ge=1, le=100)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_NULL = msgspec.Raw(b"null")


class JobWishes(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a caller may wish for a job of any type."""

    priority: Priority = DEFAULT_PRIORITY
    run_after: Moment | None = None
    max_attempts: MaxAttempts | None = None
    tags: Annotated[list[TagText], msgspec.Meta(max_length=20)] = []
    depends_on: Annotated[list[str], msgspec.Meta(max_length=100)] = []

    @property
    def rank(self) -> int:
        """The priority as a number."""
        return PRIORITIES[self.priority] if isinstance(self.priority, str) else self.priority


class JobIn(JobWishes, kw_only=True):
    """A job as its caller asks for it; the payload is kept raw until its type and its limit are known."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    payload: msgspec.Raw


class BulkIn(msgspec.Struct, forbid_unknown_fields=True):
    """Many jobs, up to 10,000, that are accepted all or none."""

    jobs: Annotated[list[JobIn], msgspec.Meta(min_length=1)]


class Receipt(msgspec.Struct):
    """One job of a bulk."""

    id: str
    status: str
    position: int


class BulkOut(msgspec.Struct):
    """The jobs of a bulk in the order in which they were given."""

    jobs: list[Receipt]


class ProgressOut(msgspec.Struct):
    """How far a job says it is."""

    percent: float
    note: str | None


class ErrorOut(msgspec.Struct):
    """Why an attempt failed."""

    type: str
    message: str
    retryable: bool
    attempt: int


class FileOut(msgspec.Struct):
    """An attachment of a job."""

    name: str
    media_type: str
    bytes: int


class JobOut(msgspec.Struct, kw_only=True):
    """A job as its caller sees it."""

    id: str
    type: str
    queue: str
    status: Status
    priority: int
    payload: msgspec.Raw
    result: msgspec.Raw
    error: ErrorOut | None
    progress: ProgressOut
    attempt: int
    max_attempts: int
    waiting_for: str | None
    position: int | None
    run_after: datetime | None
    created_at: datetime
    dispatched_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    run: str | None
    tags: list[str]
    files: list[FileOut]
    user: str
    tenant: str


class StepOut(msgspec.Struct, kw_only=True):
    """One transition of a job."""

    before: str | None = msgspec.field(name="from")
    to: str
    attempt: int
    at: datetime
    worker: str | None
    reason: str | None


class AttemptOut(msgspec.Struct, kw_only=True):
    """One try at a job."""

    attempt: int
    status: str
    worker: str | None
    error: ErrorOut | None
    result: msgspec.Raw
    started_at: datetime
    finished_at: datetime | None


def id_of(text: str) -> str:
    """Take an id from a path.

    :raises NotFoundError: it is none, so nothing can have it.
    """
    if not is_id(text):
        raise NotFoundError
    return text


def raw(text: str | None) -> msgspec.Raw:
    """Put stored JSON into a response as it is."""
    return _NULL if text is None else msgspec.Raw(text.encode())


def error_out(text: str | None) -> ErrorOut | None:
    """Read a stored error."""
    return None if text is None else _ERROR.decode(text)


_ERROR = msgspec.json.Decoder(ErrorOut)


def job_out(view: JobView) -> JobOut:
    """Show a job."""
    job = view.job
    return JobOut(
        id=job.id,
        type=job.type,
        queue=job.queue,
        status=Status(job.status),
        priority=job.priority,
        payload=raw(job.payload),
        result=raw(job.result),
        error=error_out(job.error),
        progress=ProgressOut(job.progress_percent, job.progress_note),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        waiting_for=view.waiting_for,
        position=view.position,
        run_after=job.run_after,
        created_at=job.created_at,
        dispatched_at=job.dispatched_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        worker=job.worker_id,
        run=job.run_id,
        tags=job.tags.split("\n") if job.tags else [],
        files=[FileOut(file.name, file.media_type, file.bytes) for file in view.files],
        user=job.user_id,
        tenant=view.tenant,
    )


def as_admitted(view: JobView) -> JobOut:
    """Show a job as it was when it was accepted, however far it has come since."""
    job = job_out(view)
    changes: dict[str, Any] = {}
    if job.status != Status.QUEUED:
        changes |= {"status": Status.QUEUED, "waiting_for": "worker", "result": _NULL, "error": None}
        changes |= {"progress": ProgressOut(0.0, None), "attempt": 0, "worker": None}
        changes |= {"dispatched_at": None, "started_at": None, "finished_at": None}
    return msgspec.structs.replace(job, **changes)


def admitted_out(asked: Submission, admitted: Admitted, *, user_id: str, tenant: str) -> JobOut:
    """Show a job that was admitted a moment ago, from what is known of it without another look."""
    assert admitted.created_at is not None  # noqa: S101 - only what was admitted before has none
    return JobOut(
        id=asked.id,
        type=asked.type,
        queue=asked.queue,
        status=Status.QUEUED,
        priority=asked.priority,
        payload=raw(asked.payload),
        result=_NULL,
        error=None,
        progress=ProgressOut(0.0, None),
        attempt=0,
        max_attempts=asked.max_attempts,
        waiting_for=admitted.waiting_for,
        position=admitted.positions[0],
        run_after=asked.run_after and asked.run_after.astimezone(UTC),
        created_at=admitted.created_at,
        dispatched_at=None,
        started_at=None,
        finished_at=None,
        worker=None,
        run=None,
        tags=list(asked.tags),
        files=[],
        user=user_id,
        tenant=tenant,
    )


def step_out(step: Transition) -> StepOut:
    """Show a transition."""
    return StepOut(
        before=step.from_status,
        to=step.to_status,
        attempt=step.attempt,
        at=step.at,
        worker=step.worker_id,
        reason=step.reason,
    )


def attempt_out(attempt: Attempt) -> AttemptOut:
    """Show an attempt."""
    return AttemptOut(
        attempt=attempt.attempt,
        status=attempt.status,
        worker=attempt.worker,
        error=error_out(attempt.error),
        result=raw(attempt.result),
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
    )
