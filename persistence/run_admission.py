"""How jobs enter their run: the run's row with its first counts, and the counters of each set of tags."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from sqlmodel import Session

from persistence.batches import Batch
from persistence.counters import Change
from persistence.runs import NewRun
from persistence.statements import later
from persistence.states import Status


class _Asked(Protocol):
    """What a run counts of a job that is being admitted."""

    @property
    def tags(self) -> Sequence[str]: ...


def group_of(tags: Sequence[str]) -> int | None:
    """Number a set of tags: the same number in whichever order and process; None for no tags.

    It has 63 bits of a hash, so that nobody has to look up which numbers there are.
    """
    return _number(_text(tags)) if tags else None


def enter(
    session: Session,
    user_id: str,
    jobs: Sequence[_Asked],
    *,
    new: NewRun | None,
    joined: str | None,
    change: Change,
    now: Any,
) -> None:
    """Count jobs that are being admitted for their run, and enter that run if it is a new one; the user is locked.

    :param new: the run that comes with these jobs.
    :param joined: the run that they follow into.
    """
    run_id = new.id if new else joined
    if run_id is None:
        return
    if new:
        later(
            session,
            """INSERT INTO runs (id, user_id, name, on_failure, config, total, queued, processing, completed, failed, cancelled,
                created_at) VALUES (:id, :user, :name, :on_failure, :config, :count, :count, 0, 0, 0, 0, :now)""",
            id=run_id,
            user=user_id,
            name=new.name,
            on_failure=str(new.on_failure),
            config=new.config,
            count=len(jobs),
            now=now,
        )
    groups = Counter(_text(job.tags) for job in jobs if job.tags)
    _make_groups(session, run_id, [(_number(tags), tags, count if new else 0) for tags, count in groups.items()])
    if joined is not None:
        for job in jobs:
            change.moved(run_id, group_of(job.tags), None, Status.QUEUED)


def _make_groups(session: Session, run_id: str, groups: Sequence[tuple[Any, ...]]) -> None:
    if not groups:
        return
    batch = Batch(session, "b", {"number": "bigint", "tags": "text", "queued": "int"}, groups)
    run = "CAST(:run AS uuid)" if session.get_bind().dialect.name == "postgresql" else ":run"
    later(
        session,
        f"""INSERT INTO run_groups (run_id, number, tags, queued, processing, completed, failed, cancelled)
        SELECT {run}, b.number, b.tags, b.queued, 0, 0, 0, 0 FROM {batch.sql} WHERE true ON CONFLICT DO NOTHING""",
        run=run_id,
        **batch.parameters,
    )


def _number(tags: str) -> int:
    return int.from_bytes(hashlib.sha256(tags.encode()).digest()[:8]) >> 1


def _text(tags: Sequence[str]) -> str:
    return "\n".join(sorted(set(tags)))
