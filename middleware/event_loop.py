"""The event loop of async actors, in a thread that ends with its process."""

import dramatiq
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.middleware import AsyncIO

_START_SECONDS = 10.0


class EventLoop(AsyncIO):
    """Dramatiq's own event loop, but for the thread, which does not keep its process alive.

    A second SIGTERM ends the main thread, and Python then waits for every thread that is no daemon: with Dramatiq's own loop
    the process went on for ever, beating and taking work, and no further signal reached it.
    """

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Start the loop before the first consumer asks for work."""
        del broker, worker
        thread = EventLoopThread(self.logger)
        thread.daemon = True
        thread.start(timeout=_START_SECONDS)
        set_event_loop_thread(thread)
