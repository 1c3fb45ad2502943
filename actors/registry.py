"""The registry of job types: what the API offers, what the workers perform, and where both find it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from actors.payloads import PayloadType
from middleware.outcomes import RetryPolicy
from middleware.settings import WorkerSettings
from persistence.errors import UnknownJobTypeError
from persistence.users import Tier

DEFAULT_QUEUE = "default"


@dataclass(frozen=True)
class JobType:
    """A job type: its name, the types of its payload and result, and how its attempts are made.

    :param module: the module that it was declared in.
    :param backoff: seconds before the first retry, the second and so on; None for the setting's.
    :param concurrency: the most attempts of this type at a time, everywhere; None for no limit of its own.
    :param measure: raises if a payload is over the limits of its user's tier; None for those of its size only.
    """

    name: str
    description: str
    module: str = ""
    payload_type: Any = None
    result_type: Any = None
    queue: str = DEFAULT_QUEUE
    time_limit: float | None = None
    attempts: int | None = None
    backoff: Sequence[float] | None = None
    concurrency: int | None = None
    classify: Callable[[BaseException], BaseException | None] | None = None
    measure: Callable[[Any, Tier], None] | None = None
    settings: WorkerSettings = field(default_factory=WorkerSettings)

    @cached_property
    def payload(self) -> PayloadType:
        """The payload's side of the contract."""
        return PayloadType(self.payload_type)

    @cached_property
    def result(self) -> PayloadType:
        """The result's side of the contract."""
        return PayloadType(Any if self.result_type is None else self.result_type)

    @property
    def time_limit_seconds(self) -> float:
        """Seconds that an attempt may take."""
        return self.time_limit if self.time_limit is not None else self.settings.time_limit_seconds

    @property
    def max_attempts(self) -> int:
        """Attempts that a job of this type has, unless its caller says otherwise."""
        return self.attempts if self.attempts is not None else self.settings.max_attempts

    @cached_property
    def retry(self) -> RetryPolicy:
        """When failed attempts are tried again."""
        return RetryPolicy(tuple(self.backoff or self.settings.backoff_seconds), self.classify)

    def validate(self, payload: Any) -> str:
        """Check a payload and return the JSON text to store.

        :raises ValidationError: names the field that is wrong.
        """
        return self.payload.validate(payload)

    def payload_schema(self) -> dict[str, Any]:
        """Describe the payload as JSON Schema."""
        return self.payload.schema()

    def result_schema(self) -> dict[str, Any]:
        """Describe the result as JSON Schema."""
        return self.result.schema()


class Registry:
    """All job types of an installation, by name."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}

    def add(self, job_type: JobType) -> None:
        """Enter a job type.

        :raises ValueError: its name is taken.
        """
        other = self._types.get(job_type.name)
        if other is not None:
            message = f"two job types are called {job_type.name!r}: one of {other.module} and one of {job_type.module}"
            raise ValueError(message)
        self._types[job_type.name] = job_type

    def get(self, name: str) -> JobType:
        """Look a job type up.

        :raises UnknownJobTypeError: there is none of this name.
        """
        try:
            return self._types[name]
        except KeyError:
            raise UnknownJobTypeError(f"no job type is called {name[:100]!r}", field="type") from None

    def types(self) -> list[JobType]:
        """List the job types by name."""
        return sorted(self._types.values(), key=lambda job_type: job_type.name)

    def queues(self) -> dict[str, str]:
        """Return the queue of each job type."""
        return {job_type.name: job_type.queue for job_type in self.types()}

    def concurrency(self) -> dict[str, int]:
        """Return the limits that job types declare for themselves, by the name of the type."""
        return {t.name: t.concurrency for t in self.types() if t.concurrency is not None}
