"""The list of middleware and the reason for each one's place: before-hooks run in this order, after-hooks in reverse."""

from collections.abc import Callable

from dramatiq.middleware import Middleware

from middleware.claims import Claims
from middleware.event_loop import EventLoop
from middleware.lifecycle import Build, Lifecycle
from middleware.log_context import LogContext
from middleware.outcomes import Outcomes, RetryPolicy


def middleware_list(build: Build, policy_of: Callable[[str], RetryPolicy]) -> list[Middleware]:
    """Return the middleware of a worker in its order.

    :param build: makes the process's parts, given the number of its threads and the queues that it is limited to.
    :param policy_of: the retry policy of a job type.
    """
    lifecycle = Lifecycle(build)
    return [
        # First to boot and last to stop: all others need the process's parts.
        lifecycle,
        # Its loop must run before the first async actor and until the last one has ended.
        EventLoop(),
        # Before anything that wants to know the attempt; without a claim nothing after it runs.
        Claims(lifecycle),
        # After the claim, which it binds; its after-hook then clears only when the outcome has been logged, below.
        LogContext(),
        # Last, so that its after-hook is the first: no other hook can delay or spoil an outcome. The interrupts of time limit,
        # cancellation and shutdown are no middleware at all: they reach a thread only inside the actor (`Attempt.interruptible`).
        Outcomes(lifecycle, policy_of),
    ]
