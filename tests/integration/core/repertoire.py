"""The job types that the tests of attempts play, each for one way that an attempt can go."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.job import Backoff, Cancelled, JobContext, Permanent, Retryable, Snooze, job
from tests.integration.core.house import Gate

UNTIL = datetime(2100, 1, 1, tzinfo=UTC)


class Number(msgspec.Struct, forbid_unknown_fields=True):
    """A payload with one field."""

    number: int = 0


@dataclasses.dataclass
class Square:
    """A result."""

    square: int


class Repertoire:
    """Declares the types in the house that is declaring, and remembers what their functions did.

    Gates and calls are by job id, so that tests on one worker do not meet.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[int]] = {}
        self.gates: dict[str, Gate] = {}
        self.contexts: dict[str, JobContext] = {}
        self._declare()

    def gate(self, job_id: str) -> Gate:
        """Give the gate of a job."""
        return self.gates.setdefault(job_id, Gate())

    def enter(self, context: JobContext) -> None:
        """Remember a call, and wait until the test opens the job's gate."""
        self.contexts[context.id] = context
        self.calls.setdefault(context.id, []).append(context.attempt)
        self.gate(context.id).wait()

    def _declare(self) -> None:
        def declare(name: str, function: Callable[[JobContext, Any], Any], **words: Any) -> Any:
            wishes: dict[str, Any] = {"payload": Number, "time_limit_seconds": 30} | words
            return job(f"plays.{name}", **wishes)(function)

        def square(context: JobContext, request: Number) -> Square:
            """Square a number."""
            context.log.info("squaring")
            return Square(request.number**2)

        def waits(context: JobContext, request: Number) -> int:
            self.enter(context)
            return request.number

        def checks(context: JobContext, request: Number) -> None:
            self.calls.setdefault(context.id, []).append(context.attempt)
            self.gate(context.id).wait(context.check)

        def fails(context: JobContext, request: Number) -> None:
            self.enter(context)
            raise Retryable(f"number {request.number}")

        def gives_up(context: JobContext, request: Number) -> None:
            context.save_file("half.txt", b"half")
            context.submit("plays.square", {"number": 1})
            raise Permanent("never\x00 \ud800")

        def snoozes(context: JobContext, request: Number) -> str:
            self.calls.setdefault(context.id, []).append(context.attempt)
            if len(self.calls[context.id]) == 1:
                raise Snooze(UNTIL if request.number else 3600)
            return "awake"

        def cancels(context: JobContext, request: Number) -> None:
            raise Cancelled

        def follows(context: JobContext, request: Number) -> None:
            self.enter(context)
            for number in range(3):
                context.submit("plays.square", {"number": number}, priority=9, tags=("follow-up",))
            if request.number:
                raise Retryable

        def saves(context: JobContext, request: Number) -> None:
            context.save_file("a.txt", b"first")
            context.save_file("a.txt", b"x" * (3 * 1024 * 1024 // 2), "text/plain")
            self.enter(context)

        def progresses(context: JobContext, request: Number) -> None:
            for step in range(request.number):
                context.progress(step, f"step {step} \x00\ud800")
            context.progress(request.number)
            self.enter(context)

        def spins(context: JobContext, request: Number) -> None:
            self.calls.setdefault(context.id, []).append(context.attempt)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.005)

        async def sleeps(context: JobContext, request: Number) -> int:
            self.calls.setdefault(context.id, []).append(context.attempt)
            await asyncio.sleep(request.number)
            return request.number

        def returns(context: JobContext, request: Number) -> Any:
            return ["x" * 2_000_000, object(), "nul \x00", "half \ud800", float("nan"), {"a": {1, 2}}, 2**70, None][
                request.number
            ]

        def breaks(context: JobContext, request: Number) -> None:
            raise Unspeakable

        def sends(context: JobContext, request: Number) -> str:
            return str(self.square.send({"number": 7}))

        def reads(context: JobContext, request: Any) -> str:
            return context.read_file("a.txt", of=request["of"]).decode()[:5]

        def doubtful(error: BaseException) -> BaseException | None:
            raise KeyError("the classifier is broken")

        def known(error: BaseException) -> BaseException | None:
            return Permanent("not allowed") if isinstance(error, PermissionError) else None

        def forbidden(context: JobContext, request: Number) -> None:
            raise PermissionError("no") if request.number else ValueError("what")

        self.square = declare("square", square, result=Square)
        self.waits = declare("waits", waits)
        self.checks = declare("checks", checks)
        self.fails = declare("fails", fails, max_attempts=4, retry=Backoff(1, 5, 30))
        self.gives_up = declare("gives_up", gives_up)
        self.snoozes = declare("snoozes", snoozes, max_attempts=1)
        self.cancels = declare("cancels", cancels)
        self.follows = declare("follows", follows, retry=Backoff(0), max_attempts=2)
        self.saves = declare("saves", saves)
        self.progresses = declare("progresses", progresses)
        self.spins = declare("spins", spins, time_limit_seconds=0.4, max_attempts=1)
        self.sleeps = declare("sleeps", sleeps)
        self.oversleeps = declare("oversleeps", sleeps, time_limit_seconds=0.4, max_attempts=1)
        self.returns = declare("returns", returns)
        self.promises = declare("promises", returns, result=Square)
        self.breaks = declare("breaks", breaks, max_attempts=1)
        self.sends = declare("sends", sends)
        self.reads = declare("reads", reads, payload=None)
        self.doubts = declare("doubts", forbidden, classify=doubtful, max_attempts=1)
        self.classifies = declare("classifies", forbidden, classify=known, max_attempts=2, retry=Backoff(3600))
        self.alone = declare("alone", waits, concurrency=1)


class Unspeakable(Exception):  # noqa: N818 - what cannot be said is no error of ours
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")
