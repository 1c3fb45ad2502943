"""The outbox: dispatch for brokers that carry messages; one thread a process publishes what a commit has dispatched."""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping

import structlog

from middleware.hand import Hand, limits_of
from middleware.settings import WorkerSettings
from persistence.attempts import Outcome
from persistence.dispatch import Mode, Taken, Wanted

_MOST_AT_ONCE = 256

log = structlog.get_logger(__name__)


class Outbox:
    """Asks a ledger to dispatch, and publishes after the commit; what is lost on the way is sent again by the sweeper.

    :param publish: hands one message to the broker.
    :param hand: the claims of this process, which messages fill.
    """

    mode = Mode.SEND

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        hand: Hand,
        types: Mapping[str, str],
        publish: Callable[[Taken], None],
    ) -> None:
        self._hand = hand
        self._types = dict(types)
        self._queues = tuple(sorted(set(types.values())))
        self._limits = limits_of(types, settings.type_concurrency)
        self._publish = publish
        self._pending: queue.SimpleQueue[Taken | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="greenroom-publisher", daemon=True)
        self._thread.start()

    def wanted(self) -> Wanted | None:
        """Ask for as much as the window of all workers has room for."""
        return Wanted(None, self._queues, self._types, _MOST_AT_ONCE, _MOST_AT_ONCE, limits=self._limits)

    def deliver(self, taken: list[Taken]) -> None:
        """Publish what was dispatched, off the ledger's thread."""
        for job in taken:
            self._pending.put(job)

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Let go of claims whose outcome is committed."""
        self._hand.settle(outcomes)

    def close(self) -> None:
        """Publish what is left and stop."""
        self._pending.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while (job := self._pending.get()) is not None:
            try:
                self._publish(job)
            except Exception:
                # The edge to a broker of any kind, whose errors are its own: the job stays dispatched and is sent again.
                log.warning("publisher.failed", job=job.id, exc_info=True)
