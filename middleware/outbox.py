"""The outbox: dispatch for brokers that carry messages; one thread a process publishes what a commit has dispatched."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from middleware.hand import Hand, limits_of
from middleware.settings import WorkerSettings
from persistence.attempts import Outcome
from persistence.dispatch import Mode, Taken, Wanted

_MOST_AT_ONCE = 256
_MOST_PENDING = 8192
_MOST_TRIES = 8
_TEND_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0

log = structlog.get_logger(__name__)


class Outbox:
    """Asks a ledger to dispatch, and publishes after the commit; what is lost on the way is sent again by the sweeper.

    While the broker is away the messages wait here, one a job, and beyond a bound in the database alone: the ledger never waits.

    :param publish: hands messages to the broker and waits until it has them; with none it keeps the connection alive.
    :param hand: the claims of this process, which messages fill.
    :param on_fatal: called with an exception that ends the publisher; the process must end.
    """

    mode = Mode.SEND

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        hand: Hand,
        types: Mapping[str, str],
        publish: Callable[[Sequence[Taken]], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._hand = hand
        self._types = dict(types)
        self._queues = tuple(sorted(set(types.values())))
        self._limits = limits_of(types, settings.type_concurrency)
        self._publish = publish
        self._on_fatal = on_fatal
        self._changed = threading.Condition()
        self._pending: dict[str, Taken] = {}
        self._closed = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="greenroom-publisher", daemon=True)
        self._thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the broker has refused the last try; what is re-sent meanwhile would only be late for the next one."""
        return self._failures > 0

    def wanted(self) -> Wanted | None:
        """Ask for as much as the window of all workers has room for, and further jobs of types that are short."""
        fast, ahead, costs = self._hand.pace()
        return Wanted(
            None,
            self._queues,
            self._types,
            room=_MOST_AT_ONCE,
            idle=_MOST_AT_ONCE,
            fast=fast,
            cost_seconds=costs,
            limits=self._limits,
            beyond=ahead,  # as many are on their way as wait in the hand
        )

    def deliver(self, taken: list[Taken]) -> None:
        """Publish what was dispatched, off the ledger's thread."""
        if not taken:
            return
        with self._changed:
            room = _MOST_PENDING - len(self._pending)
            self._pending.update((job.id, job) for job in taken[: max(0, room)])
            self._changed.notify_all()

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Let go of claims whose outcome is committed."""
        self._hand.settle(outcomes)

    def close(self) -> None:
        """Publish what is left, if the broker takes it at once, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._send(batch)
        except BaseException as error:
            # The edge of the process: without a publisher what this process dispatches would be late for ever.
            log.critical("publisher.failed", exc_info=True)
            self._on_fatal(error)

    def _next(self) -> list[Taken] | None:
        """Wait for messages; an empty batch when it is time to look after the connection, None at the end."""
        with self._changed:
            if self._failures:
                pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1))
                self._changed.wait_for(lambda: self._closed, pause)
                if self._closed:
                    return None
            else:
                self._changed.wait_for(lambda: self._pending or self._closed, _TEND_SECONDS)
            if self._closed and not self._pending:
                return None
            return [self._pending.pop(job_id) for job_id in list(self._pending)[:_MOST_AT_ONCE]]

    def _send(self, batch: list[Taken]) -> None:
        try:
            self._publish(batch)
        except Exception as error:  # noqa: BLE001 - the edge to a broker of any kind, whose errors are its own
            self._failures += 1
            if self._failures == 1:
                log.error("broker.away", error=f"{type(error).__name__}: {error}")  # noqa: TRY400 - its traceback says nothing
            self._put_back(batch)
            return
        if self._failures:
            log.warning("broker.back", tries=self._failures)
            self._failures = 0

    def _put_back(self, batch: list[Taken]) -> None:
        """Keep a batch for the next try; one that is refused again and again goes last, so that it can't hold up all others."""
        with self._changed:
            kept = {job.id: job for job in batch if job.id not in self._pending}
            self._pending = {**self._pending, **kept} if self._failures % _MOST_TRIES == 0 else {**kept, **self._pending}
