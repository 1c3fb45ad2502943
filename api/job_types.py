"""Job types: what work there is, described so that a client can build a form for it."""

from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency

from actors.registry import JobType, Registry
from api.pages import Page
from api.problems import specs


class LimitsOut(msgspec.Struct):
    """What an attempt may take; `concurrency` is the most attempts at a time, null for no limit of its own."""

    time_limit_seconds: float
    concurrency: int | None


class RetryOut(msgspec.Struct):
    """How often a job is tried, and the waits between two attempts; the last wait repeats."""

    max_attempts: int
    backoff_seconds: list[float]


class JobTypeOut(msgspec.Struct, kw_only=True):
    """A job type; payload and result are JSON schemas."""

    name: str
    description: str
    queue: str
    payload: dict[str, Any]
    result: dict[str, Any]
    limits: LimitsOut
    retry: RetryOut


@get("/job-types", sync_to_thread=False, tags=["job types"], responses=specs())
def list_job_types(registry: NamedDependency[Registry]) -> Page[JobTypeOut]:
    """List all job types by name."""
    return Page([_seen(job_type) for job_type in registry.types()], None)


def _seen(job_type: JobType) -> JobTypeOut:
    return JobTypeOut(
        name=job_type.name,
        description=job_type.description,
        queue=job_type.queue,
        payload=job_type.payload_schema(),
        result=job_type.result_schema(),
        limits=LimitsOut(job_type.time_limit_seconds, job_type.concurrency),
        retry=RetryOut(job_type.max_attempts, list(job_type.retry.backoff)),
    )


ROUTES = [list_job_types]
