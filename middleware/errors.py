"""What an actor may raise to say how its attempt ended."""

from datetime import datetime

from dramatiq.middleware import Interrupt, TimeLimitExceeded

__all__ = ["Cancelled", "Permanent", "Retryable", "ShuttingDown", "Snooze", "TimeLimitExceeded"]


_MOST_SECONDS = 10 * 365 * 86_400


class Retryable(Exception):  # noqa: N818 - the contract's name
    """The attempt failed and another may succeed; so does any exception that nothing else is known of."""


class Permanent(Exception):  # noqa: N818 - the contract's name
    """The job can never succeed: it goes to the dead letters at once."""


class Snooze(Exception):  # noqa: N818 - the contract's name
    """The job is to wait and be tried again, without using up an attempt, as when a rate limit says so.

    :param until: a moment with its time zone, or seconds from now, at most ten years.
    :raises ValueError: it is neither.
    """

    def __init__(self, until: datetime | float) -> None:
        if isinstance(until, datetime):
            if until.tzinfo is None:
                message = "until needs a time zone"
                raise ValueError(message)
        elif not until <= _MOST_SECONDS:
            message = f"until needs to be at most {_MOST_SECONDS} seconds from now, not {until}"
            raise ValueError(message)
        super().__init__(f"snoozed until {until}")
        self.until = until


class Cancelled(Interrupt):
    """The job was cancelled while it was being worked on."""


class ShuttingDown(Interrupt):
    """The worker stops before the attempt can end; the job is handed back with its attempt."""
