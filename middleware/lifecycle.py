"""The life of a worker process as Dramatiq tells it: boot after the fork, drain and goodbye at the end."""

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import dramatiq
import structlog
from dramatiq.middleware import Middleware

from middleware import logs
from middleware.process import WorkerProcess
from middleware.settings import LogSettings
from persistence.environment import SettingsError, check_names, load
from persistence.settings import environment_names

log = structlog.get_logger(__name__)

Build: TypeAlias = Callable[[int, Collection[str] | None], WorkerProcess]


class Lifecycle(Middleware):
    """Starts and stops the parts around the worker; the other middleware finds them here.

    :param build: makes the process's parts, given the number of its threads and the queues that it is limited to.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._process: WorkerProcess | None = None

    @property
    def is_running(self) -> bool:
        """Whether a worker runs in this process."""
        return self._process is not None

    @property
    def process(self) -> WorkerProcess:
        """The running process.

        :raises RuntimeError: no worker has booted here.
        """
        if self._process is None:
            message = "no worker runs in this process"
            raise RuntimeError(message)
        return self._process

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """Log as the settings say: `dramatiq actors` has set up its own way, which hides nothing."""
        del broker
        logs.configure(load(LogSettings))
        for warning in check_names(environment_names()):
            log.warning("settings.unknown", message=warning)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Register and begin to beat before the first consumer asks for work."""
        del broker
        try:
            self._process = self._build(worker.worker_threads, worker.consumer_whitelist)
            self._process.start()
        except SettingsError as error:
            # The edge of the process: what the operator has to change is said in one line, and a traceback would hide it.
            raise SystemExit(f"greenroom: {error}") from None
        except Exception as error:
            # Dramatiq would log this and let a worker go on that can do nothing: better none at all.
            raise CannotStartError(error) from error

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Take no more work and hand back what has not begun."""
        del broker, worker
        self.process.stop_taking()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Write the last outcomes and end the lease in good order."""
        del broker, worker
        self.process.stop()
        self._process = None


class CannotStartError(dramatiq.middleware.MiddlewareError):
    """The worker cannot start; the cause says why."""

    def __init__(self, cause: Any) -> None:
        super().__init__(f"the worker cannot start: {type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}")
