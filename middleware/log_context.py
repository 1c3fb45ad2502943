"""The context of log lines: whatever is logged during an attempt says which job, attempt and user it is about."""

from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Middleware

from middleware.attempt import current


class LogContext(Middleware):
    """Binds the job to the log lines of its attempt; the ids only, never the payload."""

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy) -> None:
        """Bind; the claim stands before this in the list, so the attempt is known."""
        del broker, message
        attempt = current()
        if attempt is not None:
            claim = attempt.claim
            structlog.contextvars.bind_contextvars(job=claim.id, type=claim.type, attempt=claim.attempt, user=claim.user_id)

    def after_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy, **outcome: Any) -> None:
        """Unbind, after the outcome was handed over."""
        del broker, message, outcome
        structlog.contextvars.clear_contextvars()

    after_skip_message = after_process_message
