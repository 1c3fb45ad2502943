"""The claim: no actor runs without one, whatever its message says."""

import dramatiq
import structlog
from dramatiq.middleware import Middleware, MiddlewareError, SkipMessage

from middleware import attempt as attempts
from middleware.arrivals import hint_of
from middleware.lifecycle import Lifecycle
from middleware.pulse import hand_back
from persistence.errors import DatabaseUnavailableError
from persistence.turn import wait_for

log = structlog.get_logger(__name__)


class ClaimUnavailableError(MiddlewareError):
    """The claim could not be written for want of a database; the message will be sent again."""


class Claims(Middleware):
    """Claims the job of each message before its actor runs; a duplicate, old or forged message is skipped."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy) -> None:
        """Begin the attempt of a claim, which the SQL broker's message brings along and others have asked for, or ask for here.

        :raises SkipMessage: the claim is not to be had, or no longer this process's.
        :raises ClaimUnavailableError: the database is away.
        """
        del broker
        hand = self._lifecycle.process.hand
        try:
            attempt = getattr(message, "attempt", None) or self._by_message(message)
            if attempt is None or not hand.start(attempt):
                raise SkipMessage
        finally:
            if getattr(message, "arrived", False):
                hand.leave(was_parked=getattr(message, "claim", None) is None)
        attempts.begin(attempt)

    def _by_message(self, message: dramatiq.broker.MessageProxy) -> attempts.Attempt | None:
        process = self._lifecycle.process
        hint = hint_of(message)
        if hint is None:
            log.warning("message.refused", actor=message.actor_name)
            return None
        try:
            asked = getattr(message, "claim", None)
            attempt: attempts.Attempt | None = None if asked is None else wait_for(asked)
            if attempt is None and (asked is None or message.ahead):  # nobody has asked, or it was to wait for a thread
                attempt = wait_for(process.ledger.ask(*hint, hold=process.hand.hold))
        except DatabaseUnavailableError as error:
            raise ClaimUnavailableError from error
        if attempt is None:
            return None
        if attempt.claim.type != message.actor_name:
            # The claim was good and the message is not: the job is for the actor of its own type.
            log.warning("message.refused", actor=message.actor_name, type=attempt.claim.type)
            if process.hand.drop(attempt):
                process.ledger.finish(hand_back(attempt, "message for another actor"))
            return None
        return attempt
