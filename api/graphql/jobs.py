"""Jobs as GraphQL shows them."""

from datetime import datetime
from typing import Self

import msgspec
import strawberry

from api.graphql.budget import Large
from api.graphql.scalars import Json, Status
from api.pages import Page
from api.wire import JobOut


@strawberry.type(description="How far a job says it is.")
class JobProgress:
    """How far a job says it is."""

    percent: float
    note: str | None


@strawberry.type(description="Why an attempt failed.")
class JobError:
    """Why an attempt failed."""

    type: str
    message: str
    retryable: bool
    attempt: int


@strawberry.type(description="An attachment of a job; its address is that of REST.")
class JobFile:
    """An attachment of a job."""

    name: str
    media_type: str
    bytes: int


@strawberry.type(description="A job as its caller sees it.")
class Job:
    """A job as its caller sees it."""

    id: strawberry.ID
    type: str
    queue: str
    status: Status
    priority: int
    payload: Json | None = strawberry.field(extensions=[Large()])
    result: Json | None = strawberry.field(extensions=[Large()])
    error: JobError | None
    progress: JobProgress
    attempt: int
    max_attempts: int
    waiting_for: str | None
    position: int | None
    run_after: datetime | None
    created_at: datetime
    dispatched_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: strawberry.ID | None
    run: strawberry.ID | None
    tags: list[str]
    files: list[JobFile]
    user: strawberry.ID
    tenant: str

    @classmethod
    def of(cls, out: JobOut) -> Self:
        """Show a job."""
        shown = {name: getattr(out, name) for name in out.__struct_fields__}
        return cls(
            **shown
            | {
                "error": None if out.error is None else JobError(**msgspec.structs.asdict(out.error)),
                "progress": JobProgress(**msgspec.structs.asdict(out.progress)),
                "files": [JobFile(**msgspec.structs.asdict(file)) for file in out.files],
            }
        )


@strawberry.type(description="A piece of a list, newest first; `nextCursor` is null on the last one.")
class JobPage:
    """One piece of a list of jobs."""

    items: list[Job]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[JobOut]) -> Self:
        """Show a page."""
        return cls(items=[Job.of(job) for job in page.items], next_cursor=page.next_cursor)
