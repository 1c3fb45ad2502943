"""A worker process: the parts that stand around its Dramatiq worker, and the order in which they start and stop."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from middleware.courier import Courier
from middleware.errors import ShuttingDown
from middleware.hand import Hand
from middleware.outbox import Outbox
from middleware.pulse import Pulse, hand_back
from middleware.settings import WebhookSettings, WorkerSettings
from middleware.sweeper import Sweeper
from persistence import workers
from persistence.database import Database
from persistence.dispatch import Taken
from persistence.ids import new_id
from persistence.ledger import Ledger
from persistence.wakeup import Listener, Notifier

_FLUSH_SECONDS = 10.0
_TURN_SECONDS = 2.0
# An interrupt reaches a thread that runs Python at once; what has not ended after this is in a call that never returns.
_ABANDON_SECONDS = 3.0
_FATAL_EXIT_CODE = 70

log = structlog.get_logger(__name__)


def end_process(error: BaseException) -> None:
    """End this process at once: a part that it cannot do without has failed, and its lease must not go on."""
    log.critical("process.ended", error=type(error).__name__)
    os._exit(_FATAL_EXIT_CODE)


class WorkerProcess:
    """Everything of one worker process, made after the fork.

    :param database: its own connections.
    :param threads: how many jobs it works on at a time.
    :param types: the queue of each job type that it performs.
    :param publish: hands messages to the broker; None for the SQL broker, whose queue is the jobs table.
    :param webhooks: where they may go and how they are tried again; the defaults if not given.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        database: Database,
        threads: int,
        types: Mapping[str, str],
        publish: Callable[[Sequence[Taken]], None] | None = None,
        webhooks: WebhookSettings | None = None,
        on_fatal: Callable[[BaseException], None] = end_process,
    ) -> None:
        self.settings = settings
        self.database = database
        self._threads = threads
        self._types = dict(types)
        worker_id = self._register()
        self.hand = Hand(settings, worker_id=worker_id, threads=threads, types=types)
        self._outbox = None
        if publish is not None:
            self._outbox = Outbox(settings, hand=self.hand, types=types, publish=publish, on_fatal=on_fatal)
        self._notifier = Notifier(database)
        self.ledger = Ledger(
            database,
            worker_id=worker_id,
            source=self._outbox or self.hand,
            on_fatal=on_fatal,
        )
        # Jobs that read files may take the whole pool of a slow database for longer than a lease.
        self._beats = database if database.is_sqlite else database.apart()
        self._pulse = Pulse(
            settings,
            database=self._beats,
            ledger=self.ledger,
            hand=self.hand,
            register=self._register,
            on_fatal=on_fatal,
        )
        self._sweeper = Sweeper(
            settings,
            database=database,
            worker_id=lambda: self.ledger.worker_id,
            outbox=self._outbox,
            on_work=self._on_work,
            on_fatal=on_fatal,
        )
        self._courier = Courier(webhooks or WebhookSettings(), database=database, on_fatal=on_fatal)
        self._listener: Listener | None = None
        self._timers: list[threading.Timer] = []

    def start(self) -> None:
        """Begin to ask for work and to prove this process alive."""
        self.ledger.start()
        self._pulse.start()
        self._sweeper.start()
        self._courier.start()
        self._listener = Listener(self.database, self.ledger.wake)

    def stop_taking(self) -> None:
        """Take no more work, hand back what no thread has begun, and give the rest its time to finish."""
        self.hand.close()
        self._hand_back_waiting()
        # A turn that was under way when the hand was closed may have brought claims since.
        self.ledger.flush(_TURN_SECONDS)
        self._hand_back_waiting()
        self._in_time(self.settings.shutdown_seconds, self._interrupt)
        self._in_time(self.settings.shutdown_seconds + _ABANDON_SECONDS, self._abandon)

    def stop(self) -> None:
        """Write what is pending, say goodbye, and only then stop beating."""
        if not self.hand.wait_until_idle(0):
            # Dramatiq has stopped waiting: whatever still runs is interrupted now, and its outcome waited for.
            self._interrupt()
            if not self.hand.wait_until_idle(_ABANDON_SECONDS):
                self._abandon()
        for timer in self._timers:
            timer.cancel()
        if self._listener is not None:
            self._listener.close()
        self._courier.close()
        self._sweeper.close()
        self.ledger.flush(_FLUSH_SECONDS)
        self._hand_back_waiting()
        if not self.ledger.flush(_FLUSH_SECONDS):
            log.error("shutdown.not_flushed")
        worker_id = self.ledger.worker_id
        self._pulse.part()  # a beat between the goodbye and the last one must not register this process anew
        if worker_id is not None:
            self.ledger.write(lambda session: workers.leave(session, worker_id=worker_id))
        self._pulse.close()
        self.ledger.close()
        if self._outbox is not None:
            self._outbox.close()
        self._notifier.notify()
        self._notifier.close()
        self._beats.close()
        self.database.close()
        log.info("worker.stopped", worker=worker_id)

    def _on_work(self) -> None:
        self.ledger.wake()
        self._notifier.notify()

    def _interrupt(self) -> None:
        for attempt in self.hand.attempts():
            if attempt.interrupt(ShuttingDown):
                log.warning("shutdown.interrupted", job=attempt.claim.id)

    def _hand_back_waiting(self) -> None:
        for attempt in self.hand.drop_waiting():
            self.ledger.finish(hand_back(attempt, "worker stopped"))

    def _in_time(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _abandon(self) -> None:
        """Leave without what does not let itself be interrupted; its claim is free for rescue at once."""
        log.error("shutdown.abandoned", jobs=[attempt.claim.id for attempt in self.hand.attempts()])
        self.ledger.flush(_FLUSH_SECONDS)
        worker_id = self.ledger.worker_id
        if worker_id is not None:
            with self.database.write() as session:
                workers.leave(session, worker_id=worker_id)
        os._exit(0)

    def _register(self) -> str:
        worker_id = new_id()
        with self.database.write() as session:
            workers.set_type_limits(session, self.settings.type_concurrency)
            workers.register(
                session,
                worker_id=worker_id,
                name=f"{os.uname().nodename}:{os.getpid()}",
                queues=sorted(set(self._types.values())),
                types=sorted(self._types),
                threads=self._threads,
            )
        log.info("worker.started", worker=worker_id, threads=self._threads, types=len(self._types))
        return worker_id
