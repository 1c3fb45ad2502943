"""Failpoints: named moments at which a process under test dies, switched on by FAULTS_FAILPOINTS.

`after_claim=kill@7` kills the process with SIGKILL at the seventh claim that it commits; several are separated by commas.
They are wrapped around the core from here, loaded with the campaign's job types: the product has none, and pays for none.
"""

import os
import random
import signal
from collections.abc import Callable, Sequence
from typing import Any

from middleware.outbox import Outbox
from persistence.ledger import Ledger
from tests.faults.execution_log import note

VARIABLE = "FAULTS_FAILPOINTS"
PUBLISHING_VARIABLE = "FAULTS_PUBLISHING"

_left: dict[str, int] = {}


def install() -> None:
    """Switch on what the environment names."""
    for word in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, count = word.partition("=kill")
        _left[name] = int(count.removeprefix("@") or 1)
    if _left:
        _watch_commits()
    if _left or PUBLISHING_VARIABLE in os.environ:
        _watch_publishing(os.environ.get(PUBLISHING_VARIABLE, ""))


def _watch_commits() -> None:
    tell = Ledger._tell

    def after_commit(ledger: Ledger, done: Any, taken: Any) -> None:
        # The first thing after the commit: nobody has been told of it yet.
        source = ledger._source
        sends = source is not None and source.mode == "send"
        _pass("after_outcome", bool(done.written.outcomes))
        _pass("after_submission", bool(done.written.submissions))
        _pass("after_dispatch", bool(taken) and sends)
        _pass("after_claim", any(claim for _, claim in done.claims) or (bool(taken) and not sends))
        tell(ledger, done, taken)

    Ledger._tell = after_commit


def _watch_publishing(manner: str) -> None:
    """Put a failpoint behind every publishing, and make messages come more than once, or out of order, where that is wanted.

    :param manner: `thrice` sends each message three times; `disorder` sends batches backwards, with messages of old among them.
    """
    make = Outbox.__init__
    sent: list[Any] = []
    draw = random.Random(os.getpid())  # noqa: S311 - not to be secret

    def publishing(outbox: Outbox, *args: Any, publish: Callable[[Sequence[Any]], None], **words: Any) -> None:
        def published(jobs: Sequence[Any]) -> None:
            batch = list(jobs)
            if manner == "thrice":
                batch *= 3
                note("tripled", messages=len(jobs))
            elif manner == "disorder" and batch:
                sent.extend(batch)
                batch = [*reversed(batch), *draw.sample(sent, min(len(sent), 3))]
                note("replayed", messages=len(batch) - len(jobs))
            publish(batch)
            _pass("after_publish", bool(batch))

        make(outbox, *args, publish=published, **words)

    Outbox.__init__ = publishing


def _pass(name: str, happened: bool) -> None:
    if not happened or name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        note("failpoint", name=name)
        os.kill(os.getpid(), signal.SIGKILL)
