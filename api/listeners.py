"""Listeners: who wants to hear what of the feed."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from api.tail import Told
from persistence.event_feed import Progress, Watched


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who wants to hear about one job, or about all jobs of a user, or of everybody.

    :param heard: what to do with what is told, on the loop.
    :param ended: called on the loop when nothing more will be told.
    """

    loop: asyncio.AbstractEventLoop
    heard: Callable[[Told | Progress], None]
    ended: Callable[[], None]
    job_id: str | None = None
    user_id: str | None = None
    wants_progress: bool = False


@dataclass(slots=True)
class Listeners:
    """Who listens to what."""

    of_jobs: defaultdict[str, set[Listener]] = field(default_factory=lambda: defaultdict(set))
    of_users: defaultdict[str, set[Listener]] = field(default_factory=lambda: defaultdict(set))
    of_all: set[Listener] = field(default_factory=set)

    def add(self, listener: Listener) -> None:
        """Take a listener in."""
        self._place(listener).add(listener)

    def discard(self, listener: Listener) -> None:
        """Let a listener go; again changes nothing."""
        self._place(listener).discard(listener)
        for places, key in ((self.of_jobs, listener.job_id), (self.of_users, listener.user_id)):
            if key is not None and not places.get(key, True):
                del places[key]

    def __bool__(self) -> bool:
        return bool(self.of_jobs or self.of_users or self.of_all)

    def all(self) -> set[Listener]:
        """Give all of them."""
        return self.of_all.union(*self.of_jobs.values(), *self.of_users.values())

    def of(self, job_id: str, user_id: str) -> set[Listener]:
        """Give those who want to hear about a job of a user."""
        return self.of_all.union(self.of_jobs.get(job_id, ()), self.of_users.get(user_id, ()))

    def watched(self, *, progress: bool = False) -> Watched:
        """Say what has to be read for them; with `progress`, for those who want to hear of progress."""

        def wanted(listeners: Iterable[Listener]) -> bool:
            return any(listener.wants_progress or not progress for listener in listeners)

        return Watched(
            jobs=[job for job, listeners in self.of_jobs.items() if wanted(listeners)],
            users=[user for user, listeners in self.of_users.items() if wanted(listeners)],
            everybody=wanted(self.of_all),
        )

    def _place(self, listener: Listener) -> set[Listener]:
        if listener.job_id is not None:
            return self.of_jobs[listener.job_id]
        return self.of_all if listener.user_id is None else self.of_users[listener.user_id]
