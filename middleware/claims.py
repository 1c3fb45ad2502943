"""The claim: no actor runs without one, whatever its message says."""

import dramatiq
import structlog
from dramatiq.middleware import Middleware, MiddlewareError, SkipMessage

from middleware import attempt as attempts
from middleware.lifecycle import Lifecycle
from middleware.pulse import hand_back
from persistence.errors import DatabaseUnavailableError
from persistence.ids import is_id

log = structlog.get_logger(__name__)


class ClaimUnavailableError(MiddlewareError):
    """The claim could not be written for want of a database; the message will be sent again."""


class Claims(Middleware):
    """Claims the job of each message before its actor runs; a duplicate, old or forged message is skipped."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy) -> None:
        """Begin the attempt of a claim, which the SQL broker's message brings along and others ask for here.

        :raises SkipMessage: the claim is not to be had, or no longer this process's.
        :raises ClaimUnavailableError: the database is away.
        """
        del broker
        process = self._lifecycle.process
        attempt = getattr(message, "attempt", None)
        if attempt is None:
            attempt = self._by_message(message)
        if attempt is None or not process.hand.start(attempt):
            raise SkipMessage
        attempts.begin(attempt)

    def _by_message(self, message: dramatiq.broker.MessageProxy) -> attempts.Attempt | None:
        process = self._lifecycle.process
        match message.args:
            case [str(job_id), int(dispatch_no)] if is_id(job_id) and 0 <= dispatch_no < 2**31:
                pass
            case _:
                log.warning("message.refused", actor=message.actor_name)
                return None
        try:
            claim = process.ledger.claim(job_id, dispatch_no)
        except DatabaseUnavailableError as error:
            raise ClaimUnavailableError from error
        if claim is None:
            return None
        attempt = process.hand.hold(claim)
        if claim.type != message.actor_name:
            # The claim was good and the message is not: the job is for the actor of its own type.
            log.warning("message.refused", actor=message.actor_name, type=claim.type)
            if process.hand.drop(attempt):
                process.ledger.finish(hand_back(attempt, "message for another actor"))
            return None
        return attempt
