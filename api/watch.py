"""The watch over an API's one writer: a process whose ledger hangs in the database ends itself, and is started again."""

import threading
from collections.abc import Callable

import structlog

from middleware.process import end_process
from persistence.ledger import Ledger

# Longer than a migration or an operator may lock a table for; a connection that is lost is noticed long before.
_LONGEST_TURN_SECONDS = 60.0
_LOOKS = 20

log = structlog.get_logger(__name__)


class LedgerHangsError(Exception):
    """A turn of the ledger has taken so long that it will not end."""


class Watch:
    """Looks now and then how long the ledger has been at its turn; nobody could submit anything any more if it hangs.

    :param longest_seconds: what a turn may take.
    :param on_fatal: called with the error; the process must end.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        longest_seconds: float = _LONGEST_TURN_SECONDS,
        on_fatal: Callable[[BaseException], None] = end_process,
    ) -> None:
        self._ledger = ledger
        self._longest_seconds = longest_seconds
        self._on_fatal = on_fatal
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greenroom-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._longest_seconds / _LOOKS):
            if self._ledger.busy_seconds > self._longest_seconds:
                log.critical("ledger.hangs", seconds=round(self._ledger.busy_seconds))
                self._on_fatal(LedgerHangsError())
                return
