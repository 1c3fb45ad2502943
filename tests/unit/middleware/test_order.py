"""The middleware list: its order is a promise, for each place has a reason."""

from typing import Any

import dramatiq
import pytest
import structlog
from dramatiq.brokers.stub import StubBroker

from middleware import attempt as attempts
from middleware.attempt import Attempt
from middleware.claims import Claims
from middleware.event_loop import EventLoop
from middleware.lifecycle import Lifecycle
from middleware.log_context import LogContext
from middleware.order import middleware_list
from middleware.outcomes import Outcomes, RetryPolicy
from tests import factories


def build(*_: Any) -> Any:
    """Make nothing."""
    raise AssertionError


def listed() -> list[dramatiq.Middleware]:
    """Make the list."""
    return middleware_list(build, lambda _: RetryPolicy((1,)))


def test_the_order() -> None:
    """The lifecycle first, the loop before the actors, the claim before its context, the outcome last."""
    assert [type(part) for part in listed()] == [Lifecycle, EventLoop, Claims, LogContext, Outcomes]


def test_the_outcome_is_the_first_after_hook() -> None:
    """After-hooks run in reverse: nothing can come between an attempt's end and its outcome."""
    having = [type(part) for part in reversed(listed()) if "after_process_message" in vars(type(part))]
    assert having[0] is Outcomes


def test_dramatiqs_own_are_not_there() -> None:
    """Retries, time limits, aging and interrupts are ours: two of a kind would decide twice."""
    names = {type(part).__name__ for part in listed()}
    assert names.isdisjoint({"Retries", "TimeLimit", "AgeLimit", "ShutdownNotifications", "Results", "Callbacks", "Pipelines"})


def test_the_options_of_what_they_replace_are_known() -> None:
    """Actors may be declared with the words of Dramatiq's own retries and time limits."""
    broker = StubBroker(middleware=listed())
    assert {"max_retries", "time_limit", "throws"} <= broker.actor_options


def test_without_a_worker_there_is_no_process() -> None:
    """What needs the process's parts says so where there are none."""
    lifecycle = Lifecycle(build)
    assert not lifecycle.is_running
    with pytest.raises(RuntimeError, match="no worker runs"):
        _ = lifecycle.process


def test_the_context_is_bound_and_cleared() -> None:
    """Log lines of an attempt bear its ids, also when the message was skipped, and no later lines do."""
    context, broker = LogContext(), Any
    attempt = Attempt(factories.claim())
    for end in (context.after_process_message, context.after_skip_message):
        attempts.begin(attempt)
        context.before_process_message(broker, None)  # type: ignore[arg-type]
        assert structlog.contextvars.get_contextvars() == {
            "job": attempt.claim.id,
            "type": attempt.claim.type,
            "attempt": 1,
            "user": attempt.claim.user_id,
        }
        attempts.end()
        end(broker, None)  # type: ignore[arg-type]
        assert structlog.contextvars.get_contextvars() == {}
    context.before_process_message(broker, None)  # type: ignore[arg-type]
    assert structlog.contextvars.get_contextvars() == {}
