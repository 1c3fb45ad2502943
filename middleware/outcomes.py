"""The outcome: how an attempt's end becomes a transition, and which failures are tried again."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dramatiq
import msgspec
import structlog
from dramatiq.middleware import Middleware

from middleware import attempt as attempts
from middleware.errors import Cancelled, Permanent, ShuttingDown, Snooze, TimeLimitExceeded
from middleware.lifecycle import Lifecycle
from middleware.text import storable
from persistence.attempts import Ending, Outcome
from persistence.dead_letters import fingerprint_of

_MOST_MESSAGE_CHARACTERS = 4_000
_MOST_TRACEBACK_CHARACTERS = 20_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a job type's failed attempts are tried again.

    :param backoff: seconds before the first retry, the second and so on; the last one repeats.
    :param classify: turns an error of a library into `Retryable`, `Permanent` or `Snooze`; None leaves it as it is.
    """

    backoff: Sequence[float]
    classify: Callable[[BaseException], BaseException | None] | None = None

    def wait_seconds(self, attempt: int) -> float:
        """Return the wait after a failed attempt, counted from 1."""
        return self.backoff[min(attempt, len(self.backoff)) - 1]


class Outcomes(Middleware):
    """Hands the end of each attempt to the ledger, which commits it behind the fence.

    :param policy_of: the retry policy of a job type.
    """

    def __init__(self, lifecycle: Lifecycle, policy_of: Callable[[str], RetryPolicy]) -> None:
        self._lifecycle = lifecycle
        self._policy_of = policy_of

    @property
    def actor_options(self) -> set[str]:
        """The options of Dramatiq's own retries and time limits, which this takes the place of."""
        return {"max_retries", "throws", "time_limit"}

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.broker.MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Decide how the attempt ended; the first outcome of a claim is the one that counts."""
        del broker, message, result
        attempt = attempts.end()
        if attempt is None:
            return
        process = self._lifecycle.process
        if not attempt.dropped:
            process.ledger.finish(self._outcome(attempt, exception, attempt.seconds))
        # Only now: at a shutdown the ledger is flushed as soon as no thread works on anything.
        process.hand.stop(attempt)

    def _outcome(self, attempt: attempts.Attempt, exception: BaseException | None, seconds: float) -> Outcome:
        claim = attempt.claim
        ending = Ending.COMPLETED
        fields: dict[str, Any]
        if exception is None:
            fields = {
                "result": attempt.result,
                "follow_ups": attempt.follow_ups,
                "effects": attempt.effects,
            }
        else:
            ending, fields = self._failed(attempt, exception)
        return Outcome(claim.id, claim.user_id, claim.claim_no, claim.attempt, ending, seconds, ahead=claim.ahead, **fields)

    def _failed(self, attempt: attempts.Attempt, exception: BaseException) -> tuple[Ending, dict[str, Any]]:
        claim = attempt.claim
        policy = self._policy_of(claim.type)
        error = _classified(policy, exception)
        match error:
            case Cancelled():
                return Ending.CANCELLED, {"reason": "cancelled by its attempt"}
            case ShuttingDown():
                return Ending.HANDED_BACK, {"reason": "worker stopped"}
            case Snooze(until=datetime() as until):
                moment = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
                return Ending.SNOOZED, {"run_after": moment, "reason": "snoozed"}
            case Snooze(until=float() | int() as seconds):
                return Ending.SNOOZED, {"delay_seconds": max(0.0, seconds), "reason": "snoozed"}
        permanent = isinstance(error, Permanent)
        last = permanent or claim.attempt >= claim.max_attempts
        stored = {
            "type": _name(exception),
            "message": _message(exception),
            "retryable": not permanent,
            "attempt": claim.attempt,
        }
        fields: dict[str, Any] = {"error": msgspec.json.encode(stored).decode()}
        log.warning("attempt.failed", error=_name(exception), final=last)
        if not last:
            return Ending.RETRY, fields | {"delay_seconds": policy.wait_seconds(claim.attempt)}
        trace = "".join(traceback.format_exception(exception))[-_MOST_TRACEBACK_CHARACTERS:]
        place = "\n".join(f"{frame.filename}:{frame.name}" for frame in traceback.extract_tb(exception.__traceback__)[-1:])
        return Ending.FAILED, fields | {
            "traceback": storable(trace),
            "fingerprint": fingerprint_of(_name(exception), place),
        }


def _name(exception: BaseException) -> str:
    return type(exception).__name__


def _message(exception: BaseException) -> str:
    if isinstance(exception, TimeLimitExceeded):
        return "the attempt took longer than its time limit"
    try:
        said = str(exception)
    except Exception:  # noqa: BLE001 - an error's own words are its author's code; the outcome must be written all the same
        said = "an error that cannot say what it is"
    return storable(said[:_MOST_MESSAGE_CHARACTERS])


def _classified(policy: RetryPolicy, exception: BaseException) -> BaseException:
    """Ask the author's classifier; one that fails itself must not cost the job its outcome, or it would be held for ever."""
    if policy.classify is None:
        return exception
    try:
        known = policy.classify(exception)
    except Exception:
        log.warning("classifier.failed", exc_info=True)
        known = None
    return exception if known is None else known
