"""Streams: what one response tells of the feed, as far as its client reads it."""

import asyncio

import structlog

from api.feed import EventFeed
from api.listeners import Listener
from api.tail import Told
from persistence.event_feed import Progress

log = structlog.get_logger(__name__)

# Who is so far behind does not read: it is parted with, and resumes when it comes back.
_MOST_WAITING = 1000


class Stream:
    """A listener's queue, read by one response.

    :param feed: where to listen.
    """

    def __init__(self, feed: EventFeed, *, job_id: str | None = None, user_id: str | None = None) -> None:
        self._feed = feed
        self._queue: asyncio.Queue[Told | Progress | None] = asyncio.Queue()
        self._ended = False
        loop = asyncio.get_running_loop()
        self._listener = Listener(loop, self._put, self._end, job_id=job_id, user_id=user_id, wants_progress=True)

    def open(self) -> None:
        """Begin to listen; blocks for the time of a read."""
        self._feed.add(self._listener)

    def close(self) -> None:
        """Listen no more."""
        self._feed.discard(self._listener)

    async def next(self, seconds: float) -> Told | Progress | None:
        """Wait for what comes next; None when nothing more will.

        :raises TimeoutError: nothing has come within the time.
        """
        async with asyncio.timeout(seconds):
            return await self._queue.get()

    def _put(self, told: Told | Progress) -> None:
        if self._ended:
            return
        if self._queue.qsize() >= _MOST_WAITING:
            log.info("feed.listener_dropped", waiting=self._queue.qsize())
            self._queue = asyncio.Queue()
            self._end()
            return
        self._queue.put_nowait(told)

    def _end(self) -> None:
        self._ended = True
        self.close()
        self._queue.put_nowait(None)
