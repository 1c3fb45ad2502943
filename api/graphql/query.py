"""Queries: each is one of REST's reads."""

from typing import Annotated

import strawberry

from api import job_lists, queue, runs
from api.graphql.asker import Info
from api.graphql.bounds import LIMIT, page_size
from api.graphql.budget import Look
from api.graphql.jobs import Job, JobPage
from api.graphql.queue import QueueStatus
from api.graphql.runs import Run, RunPage
from api.graphql.scalars import Status
from api.pages import DEFAULT_LIMIT
from api.wire import id_of
from persistence.job_lists import Filters


@strawberry.type
class Query:
    """What can be asked; what belongs to somebody else is `NOT_FOUND`, like what does not exist."""

    @strawberry.field(description="A run with its progress, exact at the moment at which it is read.", extensions=[Look()])
    def run(self, info: Info, id: strawberry.ID) -> Run | None:
        """Read a run."""
        return Run.of(runs.read(id, info.context.caller, info.context.database))

    @strawberry.field(
        description="One's own runs (admin: all), newest first; a page of large configs may end before its limit.",
        extensions=[Look()],
    )
    def runs(self, info: Info, limit: Annotated[int, LIMIT] = DEFAULT_LIMIT, cursor: str | None = None) -> RunPage | None:
        """List runs."""
        asker = info.context
        return RunPage.of(runs.newest(asker.caller, asker.database, limit=page_size(limit), cursor=cursor))

    @strawberry.field(description="A job.", extensions=[Look()])
    def job(self, info: Info, id: strawberry.ID) -> Job | None:
        """Read a job."""
        return Job.of(job_lists.read_one(info.context.database, id_of(id), info.context.caller))

    @strawberry.field(
        description="One's own jobs (admin: all), newest first; a page of large jobs may end before its limit.",
        extensions=[Look()],
    )
    def jobs(  # noqa: PLR0917 - Strawberry gives them by name, and knows no other way
        self,
        info: Info,
        status: Status | None = None,
        type: str | None = None,
        tag: str | None = None,
        run: strawberry.ID | None = None,
        limit: Annotated[int, LIMIT] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> JobPage | None:
        """List jobs."""
        asker = info.context
        filters = Filters(status, type, tag, run)
        return JobPage.of(job_lists.newest(filters, asker.caller, asker.database, limit=page_size(limit), cursor=cursor))

    @strawberry.field(description="How one's own jobs stand, by type and status (admin: all jobs), and which workers there are.")
    def queue_status(self, info: Info) -> QueueStatus | None:
        """Tell how the queue stands."""
        return QueueStatus.of(queue.status(info.context.caller, info.context.database))
