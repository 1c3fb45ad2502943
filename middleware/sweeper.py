"""The sweeper: the safety net that finds dead workers, forgotten messages and jobs that nobody can perform."""

import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from middleware.outbox import Outbox
from middleware.settings import WorkerSettings
from middleware.upkeep import Upkeep
from persistence import dependencies, due, firing, orphans, parking, rescue, resend, run_control, sweeps, workers
from persistence.database import Database, Session, is_repeatable
from persistence.run_counters import hold_back, write_held_back

_MOST_CHUNKS = 20

log = structlog.get_logger(__name__)


class Sweeper:
    """A thread in every worker; each step is one short transaction, safe when several sweepers do it at once.

    :param outbox: sends messages again; None where the broker has no messages of its own.
    :param on_work: called when a step has put jobs into the lanes.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        database: Database,
        worker_id: Callable[[], str | None],
        outbox: Outbox | None,
        on_work: Callable[[], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._outbox = outbox
        self._on_work = on_work
        self._on_fatal = on_fatal
        self._closed = threading.Event()
        self._seen: dict[str, tuple[int, float]] = {}
        self._unknown_since: dict[str, float] = {}
        self._last_sweep: float | None = None
        self._upkeep = Upkeep(settings, database=database, closed=self._closed)
        self._thread = threading.Thread(target=self._run, name="greenroom-sweeper", daemon=True)

    def start(self) -> None:
        """Start sweeping."""
        self._thread.start()

    def close(self) -> None:
        """Stop sweeping."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            while not self._closed.wait(self._settings.sweep_seconds):
                try:
                    self.sweep()
                except Exception as error:
                    if not is_repeatable(error):
                        raise
                    # An outage must not expire everybody: the count of silent sweeps starts again.
                    self._seen.clear()
                    log.warning("sweeper.database_away", error=type(error).__name__)
        except BaseException as error:
            # The edge of the process: without a sweeper the promise that work drains by itself is gone.
            log.critical("sweeper.failed", exc_info=True)
            self._on_fatal(error)

    def sweep(self) -> None:
        """Do every step once."""
        self._declare_dead()
        moved = self._repeat(rescue.rescue)
        moved += self._repeat(dependencies.settle)
        moved += self._repeat(due.promote)
        moved += self._repeat(firing.fire)
        moved += self._repeat(parking.settle)
        self._repeat(run_control.cancel_rest)
        moved += self._resend()
        self._fail_unknown_types()
        if moved:
            self._on_work()
        self._upkeep.go_on()

    def _repeat(self, step: Callable[[Session], int]) -> int:
        """Do a step in chunks, each a transaction of its own, until one finds nothing or another sweeper is at it."""
        total = 0
        for _ in range(_MOST_CHUNKS):
            with self._database.write() as session:
                # Steps lock users one after the other: runs' rows, which come after users', are written at the end.
                done = step(hold_back(session)) if sweeps.lead(session) else 0
                write_held_back(session)
            total += done
            if not done:
                break
        return total

    def _declare_dead(self) -> None:
        """Declare dead whose beat has not changed on any sweep of a whole lease, by this process's own clock."""
        now = time.monotonic()
        longest = max(self._settings.lease_seconds / 2, 3 * self._settings.sweep_seconds)
        gap = self._last_sweep is not None and now - self._last_sweep > longest
        self._last_sweep = now
        if gap:
            self._seen.clear()
        with self._database.read() as session:
            alive = workers.alive(session)
        for worker_id, beat_no in alive.items():
            seen_no, since = self._seen.get(worker_id, (beat_no, now))
            self._seen[worker_id] = (beat_no, since if seen_no == beat_no else now)
        self._seen = {worker_id: seen for worker_id, seen in self._seen.items() if worker_id in alive}
        for worker_id, (beat_no, since) in self._seen.items():
            if now - since < self._settings.lease_seconds or worker_id == self._worker_id():
                continue
            with self._database.write() as session:
                if workers.declare_dead(session, worker_id=worker_id, beat_no=beat_no):
                    log.error("worker.dead", worker=worker_id, silent_seconds=round(now - since, 1))

    def _resend(self) -> int:
        if self._outbox is None:
            return self._repeat(resend.take_back)
        if self._outbox.is_away:
            return 0  # each re-send doubles the wait for the next one
        with self._database.write() as session:
            overdue = resend.overdue(session, after_seconds=self._settings.resend_seconds)
        if overdue:
            log.warning("sweeper.resent", messages=len(overdue))
            self._outbox.deliver(overdue)
        return 0

    def _fail_unknown_types(self) -> None:
        now = time.monotonic()
        with self._database.read() as session:
            unknown = orphans.unknown_types(session, known=workers.known_types(session))
        self._unknown_since = {kind: self._unknown_since.get(kind, now) for kind in unknown}
        worker_id = self._worker_id()
        for kind, since in self._unknown_since.items():
            if now - since >= self._settings.unknown_type_seconds and worker_id is not None:
                failed = self._repeat(partial(orphans.fail_type, kind=kind, worker_id=worker_id))
                if failed:
                    log.error("jobs.no_processor", type=kind, jobs=failed)
