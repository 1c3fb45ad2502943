"""A turn of the ledger: what threads hand over, what one transaction makes of it, and how the answers get back."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlmodel import Session

from persistence import admission, attempts, dispatch
from persistence.database import is_repeatable
from persistence.errors import DatabaseUnavailableError, GreenroomError

MOST_OUTCOMES = 512
MOST_UNITS = 256


class Source(Protocol):
    """Where a ledger that serves a worker learns how much work is wanted, and delivers it."""

    mode: dispatch.Mode

    def wanted(self) -> dispatch.Wanted | None:
        """Say what may be taken on now; None when there is no room."""

    def deliver(self, taken: list[dispatch.Taken]) -> None:
        """Receive the claims of a turn, after its commit."""

    def settle(self, outcomes: list[attempts.Outcome]) -> None:
        """Learn which outcomes are committed, or refused by their fence."""


@dataclass(slots=True)
class Call:
    """A write of any kind that somebody waits for."""

    write: Callable[[Session], Any]
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(slots=True)
class Request:
    """A unit that a thread of the API waits to see admitted.

    :param repeated: an earlier try ended without an answer from the database, so it may be in already.
    """

    unit: admission.Unit
    repeated: bool = False
    future: "Future[admission.Admitted]" = field(default_factory=Future)


@dataclass(slots=True)
class Message:
    """A message whose claim somebody waits for.

    :param hold: takes the claim in hand before whoever waits hears of it; else the pulse would hand it back as unknown.
    :param ahead: no thread is free for it yet.
    """

    job_id: str
    dispatch_no: int
    hold: Callable[[dispatch.Taken], Any]
    ahead: bool = False
    future: "Future[Any]" = field(default_factory=Future)

    def answer(self, claim: dispatch.Taken | None) -> None:
        """Give whoever waits the claim, unless nobody does any more: then it stands in nobody's hand and goes back."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(None if claim is None else self.hold(claim))


@dataclass(slots=True)
class Turn:
    """What one transaction writes."""

    outcomes: list[attempts.Outcome] = field(default_factory=list)
    submissions: list[Request] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.submissions or self.messages or self.calls)

    def asked(self) -> tuple[list[tuple[str, int]], set[tuple[str, int]]]:
        """List the messages whose claims are asked for, each once, and say for which of them no thread is free."""
        messages = {(message.job_id, message.dispatch_no): message.ahead for message in self.messages}
        return list(messages), {message for message, is_ahead in messages.items() if is_ahead}

    def forget_who_gave_up(self) -> None:
        """Leave out what nobody waits for any more: who was told that it did not work must not find it done later."""
        self.submissions = [entry for entry in self.submissions if not entry.future.cancelled()]
        self.messages = [entry for entry in self.messages if not entry.future.cancelled()]
        self.calls = [entry for entry in self.calls if not entry.future.cancelled()]

    def futures(self, *, with_messages: bool = True) -> "list[Future[Any]]":
        """List what threads wait for."""
        waiting: list[Future[Any]] = [entry.future for entry in self.submissions]
        waiting += [call.future for call in self.calls]
        return waiting + [message.future for message in self.messages] if with_messages else waiting


@dataclass(slots=True)
class Done:
    """What a turn's transaction has written, and the answers that go out once it is committed."""

    written: Turn
    answers: "list[tuple[Future[Any], Any]]" = field(default_factory=list)
    claims: "list[tuple[Message, dispatch.Taken | None]]" = field(default_factory=list)

    def tell(self) -> None:
        """Give out the answers."""
        for message, claim in self.claims:
            message.answer(claim)
        for future, value in self.answers:
            answer(future, value)


def answer(future: "Future[Any]", value: Any) -> None:
    """Give a waiting thread its value, or the error that it is to raise; one that has given up gets nothing."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)


def refuse(future: "Future[Any]", error: Exception) -> None:
    """Give a waiting thread an error, where the database is away as one that says just that."""
    if is_repeatable(error) and not isinstance(error, GreenroomError):
        unavailable = DatabaseUnavailableError()
        unavailable.__cause__ = error
        error = unavailable
    answer(future, error)


def wait_for(future: "Future[Any]", timeout_seconds: float = 30.0) -> Any:
    """Wait for an answer.

    :raises DatabaseUnavailableError: none came within the time, and none will.
    """
    try:
        return future.result(timeout_seconds)
    except TimeoutError as error:
        if not future.cancel():  # it came at the last moment
            return future.result()
        raise DatabaseUnavailableError from error
