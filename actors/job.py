"""How a function becomes a job type: the decorator, and everything that its author needs."""

from collections.abc import Callable
from typing import Any, Self, cast

import dramatiq

from actors.context import JobContext, TestContext
from actors.installation import INSTALLATION
from actors.performer import JobActor
from actors.registry import DEFAULT_QUEUE, JobType
from middleware.errors import Cancelled, Permanent, Retryable, Snooze
from persistence.users import Tier

__all__ = [
    "Backoff",
    "Cancelled",
    "JobContext",
    "Permanent",
    "Retryable",
    "Snooze",
    "TestContext",
    "job",
]

_MOST_NAME_CHARACTERS = 200  # the column's width
_MOST_WAIT_SECONDS = 30 * 86_400

# Ordinary ends of an attempt, which Dramatiq is not to log as failures with a traceback.
_EXPECTED = (Cancelled, Permanent, Retryable, Snooze)


class Backoff(tuple[float, ...]):
    """The waits before the retries, in seconds: `Backoff(1, 5, 30)`; the last one repeats."""

    __slots__ = ()

    def __new__(cls, *seconds: float) -> Self:
        """Check the waits.

        :raises ValueError: there is none, or one is negative or longer than 30 days.
        """
        if not seconds or not all(0 <= wait <= _MOST_WAIT_SECONDS for wait in seconds):
            message = f"a back-off needs one or more waits of 0 seconds to 30 days, not {seconds}"
            raise ValueError(message)
        return super().__new__(cls, (float(wait) for wait in seconds))


def job(
    name: str,
    *,
    payload: Any = None,
    result: Any = None,
    queue: str = DEFAULT_QUEUE,
    time_limit_seconds: float | None = None,
    retry: Backoff | None = None,
    max_attempts: int | None = None,
    concurrency: int | None = None,
    classify: Callable[[BaseException], BaseException | None] | None = None,
    measure: Callable[[Any, Tier], None] | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], JobActor]:
    """Declare a job type; the function becomes a Dramatiq actor of that name.

    The function, plain or async, is called with a `JobContext` and the payload, and returns the result.

    :param name: dotted and stable, such as `documents.extract`.
    :param payload: the payload's type: a msgspec Struct, a dataclass or a pydantic model; None for any JSON object.
    :param result: the result's type.
    :param time_limit_seconds: how long an attempt may take; None for the setting's time.
    :param retry: the waits before the retries; None for the setting's.
    :param max_attempts: attempts in all; None for the setting's number.
    :param concurrency: the most attempts at a time, across all workers.
    :param classify: turns a library's error into `Retryable`, `Permanent` or `Snooze`; None leaves it as it is.
    :param measure: holds a caller's payload against the tier's limits in place of its size, and raises what is over them.
    :param options: further options of Dramatiq's actors; `time_limit` (milliseconds), `max_retries` and
        `throws` work as they do there.
    :raises ValueError: the name is taken, or an option does not exist.
    """
    if not _is_name(name):
        message = f"a job type's name is lower-case words with dots between them, not {name!r}"
        raise ValueError(message)

    if "time_limit" in options and time_limit_seconds is None:
        time_limit_seconds = options["time_limit"] / 1000
    if "max_retries" in options and max_attempts is None:
        max_attempts = options["max_retries"] + 1
    throws = options.pop("throws", ())
    throws = throws if isinstance(throws, tuple) else (throws,)
    if throws:
        classify = _permanent(throws, classify)

    def declare(function: Callable[..., Any]) -> JobActor:
        job_type = JobType(
            name=name,
            description=(function.__doc__ or "").strip(),
            module=function.__module__,
            payload_type=payload,
            result_type=result,
            queue=queue,
            time_limit=time_limit_seconds,
            attempts=max_attempts,
            backoff=retry,
            concurrency=concurrency,
            classify=classify,
            measure=measure,
            settings=INSTALLATION.settings,
        )
        INSTALLATION.registry.add(job_type)

        def actor_class(fn: Callable[..., Any], **declared: Any) -> JobActor:
            return JobActor(fn, job_type=job_type, surroundings=INSTALLATION, submit=INSTALLATION.send, **declared)

        decorate = dramatiq.actor(
            actor_class=actor_class,
            actor_name=name,
            queue_name=queue,
            broker=INSTALLATION.broker,
            throws=(*_EXPECTED, *throws),
            **options,
        )
        return cast("JobActor", decorate(function))

    return declare


def _permanent(
    throws: tuple[type[BaseException], ...], classify: Callable[[BaseException], BaseException | None] | None
) -> Callable[[BaseException], BaseException | None]:
    """Make errors of these kinds permanent, and leave the others to the author's classifier."""

    def decide(error: BaseException) -> BaseException | None:
        if isinstance(error, throws):
            return Permanent(str(error))
        return classify(error) if classify is not None else None

    return decide


def _is_name(name: str) -> bool:
    words = name.split(".")
    return len(name) <= _MOST_NAME_CHARACTERS and all(
        word.isascii() and word.replace("_", "a").isalnum() and word == word.lower() for word in words
    )
