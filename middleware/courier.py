"""The courier: turns what has happened into webhook deliveries, has them sent, and writes down what came of it."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable

import structlog

from middleware.settings import WebhookSettings
from middleware.webhook_sender import WebhookSender
from persistence import webhook_events, webhook_sending
from persistence.database import Database, is_repeatable
from persistence.event_feed import START
from persistence.webhook_events import News
from persistence.webhook_sending import Answer, Sending

# Most deliveries that one process has under way, and most of them to receivers that failed the last time.
MOST_UNDER_WAY = 64
MOST_FAILING = MOST_UNDER_WAY // 2

_LOOK_SECONDS = 0.25
_IDLE_LOOK_SECONDS = 1.0
_PAUSE_AFTER_ERROR_SECONDS = 1.0
_MOVE_SECONDS = 5.0
# Beyond the time limit of a try: for the answer to be written down before somebody else may try.
_LEASE_MARGIN_SECONDS = 10.0
_PARTING_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Courier:
    """A thread in every worker; several of them share the work, and each of its steps is safe beside the others'."""

    def __init__(self, settings: WebhookSettings, *, database: Database, on_fatal: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._database = database
        self._on_fatal = on_fatal
        self._lease_seconds = settings.time_limit_seconds + _LEASE_MARGIN_SECONDS
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._under_way: dict[tuple[str, int], Sending] = {}
        self._told: list[Answer] = []
        self._sender: WebhookSender | None = None
        self._seen = START
        self._moved = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greenroom-courier", daemon=True)

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is under way is broken off and due again at once, with the same id."""
        self._closed.set()
        self._answers.put(None)
        if self._thread.is_alive():
            self._thread.join(_PARTING_SECONDS)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                try:
                    pause = self._round()
                except Exception as error:
                    if not is_repeatable(error):
                        raise
                    log.warning("courier.database_away", error=type(error).__name__)
                    pause = _PAUSE_AFTER_ERROR_SECONDS
                self._listen(pause)
            self._part()
        except BaseException as error:
            # The edge of the process: without a courier the promise that events are delivered is gone.
            log.critical("courier.failed", exc_info=True)
            self._on_fatal(error)

    def _round(self) -> float:
        """Write down the answers that have come, then what there is to be told, and begin to send what is due.

        :returns: for how long to wait for answers.
        """
        if self._told:
            with self._database.write() as session:
                webhook_sending.record(session, self._told)
            self._told.clear()
        with self._database.read() as session:
            news = webhook_events.read(session, seen=self._seen)
        if news is None:
            return _IDLE_LOOK_SECONDS
        self._write(news)
        self._send()
        return 0.0 if news.more else _LOOK_SECONDS

    def _write(self, news: News) -> None:
        """Write the news; a place without any is written from time to time only, for it can be read again."""
        now = time.monotonic()
        if news.told or (news.end > news.cursor and now - self._moved >= _MOVE_SECONDS):
            self._moved = now
            with self._database.write() as session:
                written = webhook_events.write(session, news)
            # Somebody else was quicker: where the cursor stands now is read anew.
            self._seen = news.end if written else START
        else:
            self._seen = news.end

    def _send(self) -> None:
        free = MOST_UNDER_WAY - len(self._under_way)
        if free <= 0:
            return
        under_way = Counter(sending.user_id for sending in self._under_way.values())
        with self._database.read() as session:
            ids = webhook_sending.choose(
                session,
                room=free,
                room_failing=max(0, free - MOST_FAILING),
                lease_seconds=self._lease_seconds,
                under_way=under_way,
            )
        if not ids:
            return
        with self._database.write() as session:
            claimed = webhook_sending.claim(session, ids=ids, lease_seconds=self._lease_seconds)
        if claimed and self._sender is None:
            self._sender = WebhookSender(self._settings, on_answer=self._answers.put)
        for sending in claimed:
            assert self._sender is not None  # noqa: S101 - made above
            self._under_way[sending.id, sending.claim_no] = sending
            self._sender.send(sending)

    def _listen(self, seconds: float) -> None:
        """Wait for answers, at most so long; all that are there are taken at once."""
        try:
            answer = self._answers.get(timeout=seconds) if seconds else self._answers.get_nowait()
            while True:
                if answer is not None:
                    del self._under_way[answer.sending.id, answer.sending.claim_no]
                    self._told.append(answer)
                    self._log(answer)
                answer = self._answers.get_nowait()
        except queue.Empty:
            return

    def _part(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._listen(0)
        if not self._told and not self._under_way:
            return
        try:
            with self._database.write() as session:
                webhook_sending.record(session, self._told)
                webhook_sending.release(session, list(self._under_way.values()))
        except Exception as error:
            if not is_repeatable(error):
                raise
            log.warning("courier.not_written", error=type(error).__name__)  # what is not written down is sent again

    def _log(self, answer: Answer) -> None:
        words = {"delivery": answer.sending.id, "endpoint": answer.sending.endpoint_id, "tries": answer.sending.tries}
        if answer.is_untried:
            log.debug("webhook.given_back", **words, error=answer.error)
        elif answer.error is None:
            log.debug("webhook.delivered", **words)
        elif answer.wait_seconds is None:
            log.warning("webhook.given_up", **words, error=answer.error)
        else:
            log.info("webhook.failed", **words, error=answer.error)
