"""The feed: one reader a process that follows the audit trail while somebody listens, and tells each listener its part."""

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Callable

import structlog

from api.listeners import Listener, Listeners
from api.tail import Tail, Told
from persistence import event_feed
from persistence.database import Database
from persistence.errors import RateLimitedError
from persistence.event_feed import Progress, Watched
from persistence.states import FINAL

log = structlog.get_logger(__name__)

MOST_STREAMS_OF_USER = 20
MOST_STREAMS_OF_TENANT = 100
_RETRY_AFTER_SECONDS = 5
_POLL_SECONDS = 0.05
_PAUSE_AFTER_ERROR_SECONDS = 1.0
_PARTING_SECONDS = 2.0


class EventFeed:
    """Reads the trail while there are listeners, and is silent when there are none.

    :param database: where the trail is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners = Listeners()
        self._streams: Counter[str] = Counter()
        # Held while the trail is read: whoever is added meanwhile begins after it, so that nothing falls between.
        self._reading = threading.Lock()
        self._changed = threading.Condition()
        self._tail: Tail | None = None
        self._progress: dict[str, Progress] = {}
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, listener: Listener) -> None:
        """Tell a listener everything that is committed from now on; blocks for the time of a read.

        :raises DatabaseUnavailableError: the database does not answer.
        """
        with self._reading:
            if self._tail is None:
                with self._database.read() as session:
                    self._tail = Tail(event_feed.here(session))
            with self._changed:
                self._listeners.add(listener)
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="greenroom-feed", daemon=True)
                    self._thread.start()
                self._changed.notify_all()

    def discard(self, listener: Listener) -> None:
        """Tell a listener nothing more; again changes nothing."""
        with self._changed:
            self._listeners.discard(listener)

    def enter(self, *, user_id: str, tenant_id: str) -> Callable[[], None]:
        """Take one of the places that a user and a tenant have for streams.

        :returns: what gives it back, once however often it is called.
        :raises RateLimitedError: they are all taken.
        """
        with self._changed:
            for key, most in ((user_id, MOST_STREAMS_OF_USER), (tenant_id, MOST_STREAMS_OF_TENANT)):
                if self._streams[key] >= most:
                    raise RateLimitedError(f"{most} streams are open", limit=most, retry_after=_RETRY_AFTER_SECONDS)
            self._streams.update((user_id, tenant_id))
        taken = [user_id, tenant_id]

        def leave() -> None:
            with self._changed:
                self._streams.subtract(taken)
                for key in taken:
                    if not self._streams[key]:
                        del self._streams[key]
                taken.clear()

        return leave

    async def wait_for(self, job_id: str, is_finished: Callable[[], bool], seconds: float) -> None:
        """Wait until a job has finished, for so long at the most.

        :param is_finished: looks at the job, in a thread; what it raises is raised here.
        """
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def heard(told: Told | Progress) -> None:
            if isinstance(told, Told) and told.step.to in FINAL:
                done.set()

        listener = Listener(loop, heard, done.set, job_id=job_id)

        def look() -> bool:
            self.add(listener)
            return is_finished()

        try:
            async with asyncio.timeout(seconds):
                if not await asyncio.to_thread(look):
                    await done.wait()
        except TimeoutError:
            pass
        finally:
            self.discard(listener)

    def close(self) -> None:
        """End all streams and stop."""
        with self._changed:
            self._closed = True
            listeners = self._listeners.all()
            self._changed.notify_all()
        for listener in listeners:
            listener.loop.call_soon_threadsafe(listener.ended)
        if self._thread is not None:
            self._thread.join(_PARTING_SECONDS)

    def _run(self) -> None:
        while self._wait():
            try:
                more = self._read()
            except Exception:
                # The edge of a thread: one failed read must not end the streams; they only fall behind.
                log.warning("feed.read_failed", exc_info=True)
                more = False
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _PAUSE_AFTER_ERROR_SECONDS)
            if not more:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _POLL_SECONDS)

    def _wait(self) -> bool:
        with self._changed:
            if self._closed or self._listeners:
                return not self._closed
        with self._reading, self._changed:
            if not self._listeners:  # whoever comes next begins where the trail is then
                self._tail = None
                self._progress.clear()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._listeners))
            return not self._closed

    def _read(self) -> bool:
        with self._reading:
            with self._changed:
                watched, of_progress = self._listeners.watched(), self._listeners.watched(progress=True)
            if self._tail is None:
                return False
            told, more = self._tail.read(self._database, watched)
            steps = self._news(of_progress)
        with self._changed:
            batches: defaultdict[Listener, list[Told | Progress]] = defaultdict(list)
            for one in told:
                for listener in self._listeners.of(one.step.job_id, one.step.user_id):
                    batches[listener].append(one)
            for step in steps:
                for listener in self._listeners.of(step.job_id, step.user_id):
                    if listener.wants_progress:
                        batches[listener].append(step)
        for listener, batch in batches.items():
            listener.loop.call_soon_threadsafe(_tell, listener, batch)
        return more

    def _news(self, watched: Watched) -> list[Progress]:
        if not (watched.everybody or watched.users or watched.jobs):
            return []
        with self._database.read() as session:
            steps = event_feed.progress(session, watched=watched)
        news = [step for step in steps if self._progress.get(step.job_id) != step]
        self._progress = {step.job_id: step for step in steps}
        return news


def _tell(listener: Listener, batch: list[Told | Progress]) -> None:
    for one in batch:
        listener.heard(one)
