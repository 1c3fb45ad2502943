"""The actor of a job type: a real Dramatiq actor whose call is an attempt, or in a test the plain function."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dramatiq
import msgspec

from actors.context import JobContext, Surroundings
from actors.registry import JobType
from middleware.attempt import Attempt, current
from middleware.errors import Permanent

MOST_RESULT_BYTES = 1024 * 1024


class JobActor(dramatiq.Actor[Any, Any]):
    """Performs the jobs of one type.

    :param job_type: what is performed.
    :param surroundings: what its attempts can reach.
    :param submit: admits a job from Python: payload, user's name or id, and the moment before which it is not due.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        job_type: JobType,
        surroundings: Surroundings,
        submit: Callable[[JobType, Any, str | None, float | None], str],
        **declared: Any,
    ) -> None:
        super().__init__(fn, **declared)
        self.job_type = job_type
        self._function = fn
        self._surroundings = surroundings
        self._submit = submit

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the attempt that the claim of this thread stands for; with a context as first argument, call the function.

        :raises RuntimeError: there is neither.
        """
        if args and isinstance(args[0], JobContext):
            return self._call(*args, **kwargs)
        attempt = current()
        if attempt is None:
            message = f"{self.actor_name} is called with a JobContext and a payload; jobs are submitted with send()"
            raise RuntimeError(message)
        self._perform(attempt)
        return None

    def send(self, payload: Any, *, user: str | None = None) -> str:  # type: ignore[override]
        """Submit a job through admission.

        :param user: whose job it is, by name or id; within an attempt its user, unless another one is named.
        :returns: the job's id.
        :raises GreenroomError: why it was not admitted.
        """
        return self._submit(self.job_type, payload, user, None)

    def send_with_options(  # type: ignore[override]
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        delay: timedelta | int | None = None,
        user: str | None = None,
    ) -> str:
        """Submit a job in Dramatiq's own form; a delay, in milliseconds, is kept in the database and not in the broker.

        :raises TypeError: there is not exactly one payload.
        :raises GreenroomError: why it was not admitted.
        """
        values = [*args, *(kwargs or {}).values()]
        if len(values) != 1:
            message = f"{self.actor_name} takes one payload, not {len(values)}"
            raise TypeError(message)
        seconds = None
        if delay is not None:
            seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay / 1000
        return self._submit(self.job_type, values[0], user, seconds)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        if not inspect.iscoroutinefunction(self._function):
            return self._function(*args, **kwargs)
        coroutine = self._function(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(coroutine)
        return coroutine

    def _perform(self, attempt: Attempt) -> None:
        context = JobContext(attempt, self._surroundings)
        request = self._request(attempt)
        with attempt.interruptible(self.job_type.time_limit_seconds):
            value = self.fn(context, request)
        attempt.result = self._encoded(value)

    def _request(self, attempt: Attempt) -> Any:
        try:
            return self.job_type.payload.decode(attempt.claim.payload)
        except ValueError as error:  # msgspec's and pydantic's errors are ValueErrors
            message = f"the stored payload is no longer one of {self.actor_name}: {error}"
            raise Permanent(message) from error

    def _encoded(self, value: Any) -> str | None:
        """Turn the result into JSON text here, in the thread that made it, so that it can't spoil a batch of others."""
        if value is None:
            return None
        try:
            encoded = self.job_type.result.encode(value)
            if self.job_type.result_type is not None:
                self.job_type.result.decode(encoded)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            message = f"the result is not one of {self.actor_name}: {error}"
            raise Permanent(message) from error
        if len(encoded) > MOST_RESULT_BYTES:
            message = f"the result has {len(encoded)} bytes; {MOST_RESULT_BYTES} are the most, files take more"
            raise Permanent(message)
        return encoded.decode()
