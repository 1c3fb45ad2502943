"""Runs as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
import strawberry

from api import runs
from api.graphql.asker import Info
from api.graphql.bounds import LIMIT, page_size
from api.graphql.budget import Large, Look
from api.graphql.jobs import Job
from api.graphql.scalars import Json, OnFailure, RunStatus
from api.pages import DEFAULT_LIMIT, MOST, Page
from api.run_schemas import CountsOut, RunOut


@strawberry.type(description="The jobs of a run that ask one model.")
class ModelProgress:
    """The counts of one model's jobs."""

    model: str
    total: int
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    percent_complete: float


@strawberry.type(description="How many jobs of a run stand how, and how much of it is over.")
class RunProgress:
    """A run's counts, exact at the moment at which it was read."""

    run: strawberry.Private[str]
    models: strawberry.Private[dict[str, CountsOut] | None]
    total: int
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    percent_complete: float

    @strawberry.field(description="By the values of tags of the form `model:NAME`, in their order.")
    def by_model(self, info: Info, limit: Annotated[int, LIMIT] = MOST) -> list[ModelProgress]:
        """Count by model; the runs of a list are looked at one by one, and only when this is asked for."""
        size = page_size(limit)
        models = self.models
        if models is None:
            models = runs.progress(self.run, info.context.caller, info.context.database, by=runs.MODEL).by
        return [ModelProgress(model=model, **_counts(models[model])) for model in sorted(models)[:size]]


@strawberry.type(description="A named group of one user's jobs.")
class Run:
    """A run as its caller sees it."""

    id: strawberry.ID
    name: str
    status: RunStatus
    progress: RunProgress
    on_failure: OnFailure
    config: Json | None = strawberry.field(extensions=[Large()])
    created_at: datetime
    started_at: datetime | None
    paused_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None
    user: strawberry.ID

    @strawberry.field(
        description="The jobs that finished last, the last one first; of large jobs there may be fewer than the limit.",
        extensions=[Look()],
    )
    def recent_tasks(self, info: Info, limit: Annotated[int, LIMIT] = DEFAULT_LIMIT) -> list[Job]:
        """List the jobs that finished last."""
        asker = info.context
        found = runs.last_finished(self.id, asker.caller, asker.database, limit=page_size(limit))
        return [Job.of(job) for job in found]

    @classmethod
    def of(cls, out: RunOut, *, is_whole: bool = True) -> Self:
        """Show a run.

        :param is_whole: whether its progress by model was read with it.
        """
        shown = {name: getattr(out, name) for name in out.__struct_fields__}
        models = _by_model(out) if is_whole else None
        progress = RunProgress(run=out.id, models=models, **_counts(out.progress))
        return cls(**shown | {"progress": progress, "on_failure": OnFailure(out.on_failure)})


@strawberry.type(description="A piece of a list, newest first; `nextCursor` is null on the last one.")
class RunPage:
    """One piece of a list of runs."""

    items: list[Run]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[RunOut]) -> Self:
        """Show a page."""
        return cls(items=[Run.of(run, is_whole=False) for run in page.items], next_cursor=page.next_cursor)


def _by_model(out: RunOut) -> dict[str, CountsOut]:
    return {} if isinstance(out.progress.by_model, msgspec.UnsetType) else out.progress.by_model


def _counts(out: CountsOut) -> dict[str, Any]:
    counted = {name: getattr(out, name) for name in CountsOut.__struct_fields__}
    counted["percent_complete"] = counted.pop("percent")
    return counted
