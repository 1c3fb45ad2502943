"""The queue as GraphQL shows it, and the scopes in which it is paused."""

from datetime import datetime
from typing import Self

import strawberry

from api.graphql.bounds import checked
from api.queue import QueueOut, ScopeIn


@strawberry.type(description="How many jobs stand how.")
class Totals:
    """How many jobs stand how."""

    total: int
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int


@strawberry.type(description="How many jobs of one type stand how.")
class TypeCounts(Totals):
    """How many jobs of one type stand how."""

    type: str


@strawberry.type(description="A scope in which nothing new starts; null stands for any.")
class Pause:
    """A scope in which nothing new starts."""

    type: str | None
    user: strawberry.ID | None
    queue: str | None


@strawberry.type(description="A worker process that is alive; `name` is for the operator.")
class Worker:
    """A worker process that is alive."""

    id: strawberry.ID
    name: str | None
    queues: list[str]
    threads: int
    started_at: datetime
    beat_at: datetime


@strawberry.type(description="How the caller's jobs stand (admin: all); `paused` is whether everything is.")
class QueueStatus:
    """How the caller's jobs stand."""

    paused: bool
    pauses: list[Pause]
    totals: Totals
    by_type: list[TypeCounts]
    workers: list[Worker]

    @classmethod
    def of(cls, out: QueueOut) -> Self:
        """Show the status."""
        return cls(
            paused=out.paused,
            pauses=[Pause(type=one.type, user=_id(one.user), queue=one.queue) for one in out.pauses],
            totals=Totals(**_with_total(out.totals)),
            by_type=[TypeCounts(type=kind, **_with_total(counts)) for kind, counts in sorted(out.by_type.items())],
            workers=[
                Worker(
                    id=strawberry.ID(one.id),
                    name=one.name,
                    queues=one.queues,
                    threads=one.threads,
                    started_at=one.started_at,
                    beat_at=one.beat_at,
                )
                for one in out.workers
            ],
        )


@strawberry.input(description="Where all words fit; without any word everything. `user` is a name or an id.")
class QueueScope:
    """What to pause or resume."""

    type: str | None = None
    user: str | None = None
    queue: str | None = None


def scope_in(asked: QueueScope | None) -> ScopeIn | None:
    """Take a scope as REST's body.

    :raises ValidationError: a word is empty or too long.
    """
    if asked is None:
        return None
    # A word that is empty is no word that was left out: pausing everything is not to happen by mistake.
    return checked({"type": asked.type, "user": asked.user, "queue": asked.queue}, ScopeIn)


def _id(text: str | None) -> strawberry.ID | None:
    return None if text is None else strawberry.ID(text)


def _with_total(counts: dict[str, int]) -> dict[str, int]:
    return {"total": sum(counts.values()), **counts}
