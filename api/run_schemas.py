"""Run schemas: how runs look in requests and responses."""

from datetime import datetime
from typing import Annotated

import msgspec

from api.wire import PRIORITIES, MaxAttempts, Moment, Priority, TagText, raw
from persistence import runs
from persistence.jobs import DEFAULT_PRIORITY
from persistence.runs import OnFailure, Run, RunStatus

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$(?!\n)")
]


class RunJobIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One job of a run; `key` is a name by which other jobs of the same request may depend on it."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    payload: msgspec.Raw
    key: _Key | None = None
    depends_on: Annotated[list[_Key], msgspec.Meta(max_length=100)] = []
    priority: Priority | None = None
    run_after: Moment | None = None
    max_attempts: MaxAttempts | None = None
    tags: Annotated[list[TagText], msgspec.Meta(max_length=20)] = []


class RunIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A run with all its jobs, up to 10,000, that are accepted all or none.

    `priority` is that of the jobs that name none; `config` is kept as it is, as a snapshot of what the run was made from;
    `on_failure` says what becomes of jobs that depend on one that has failed.
    """

    name: Name
    jobs: Annotated[list[RunJobIn], msgspec.Meta(min_length=1)]
    priority: Priority = DEFAULT_PRIORITY
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    on_failure: OnFailure = OnFailure.CANCEL


class CountsOut(msgspec.Struct, kw_only=True):
    """How many jobs stand how, and how much of it is over."""

    total: int
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    percent: float


class RunProgressOut(CountsOut, kw_only=True):
    """A run's counts; `by_model` is there where its jobs have tags of the form `model:NAME`."""

    by_model: dict[str, CountsOut] | msgspec.UnsetType = msgspec.UNSET


class ProgressByOut(msgspec.Struct, kw_only=True):
    """A run's counts in all and by tag, or by the values of tags of the form `KEY:VALUE`."""

    progress: CountsOut
    by: dict[str, CountsOut]


class RunOut(msgspec.Struct, kw_only=True):
    """A run as its caller sees it."""

    id: str
    name: str
    status: RunStatus
    progress: RunProgressOut
    on_failure: str
    config: msgspec.Raw
    created_at: datetime
    started_at: datetime | None
    paused_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None
    user: str


def rank(priority: Priority) -> int:
    """Give a priority as a number."""
    return PRIORITIES[priority] if isinstance(priority, str) else priority


def counts_out(counts: dict[str, int]) -> CountsOut:
    """Show counts."""
    return CountsOut(total=sum(counts.values()), percent=runs.percent(counts), **counts)


def run_out(run: Run, by_model: dict[str, dict[str, int]] | None = None) -> RunOut:
    """Show a run."""
    by: dict[str, CountsOut] = {model: counts_out(counted) for model, counted in (by_model or {}).items()}
    progress = RunProgressOut(**msgspec.structs.asdict(counts_out(run.counts)), by_model=by or msgspec.UNSET)
    return RunOut(
        id=run.id,
        name=run.name,
        status=run.status,
        progress=progress,
        on_failure=run.on_failure,
        config=raw(run.config),
        created_at=run.created_at,
        started_at=run.started_at,
        paused_at=run.paused_at,
        finished_at=run.finished_at,
        cancelled_at=run.cancelled_at,
        user=run.user_id,
    )
