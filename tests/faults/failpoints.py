"""Failpoints: named moments at which a process under test dies, switched on by FAULTS_FAILPOINTS.

`after_claim=kill@7` kills the process with SIGKILL at the seventh claim that it commits; several are separated by commas.
They are wrapped around the core from here, loaded with the campaign's job types: the product has none, and pays for none.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from middleware.outbox import Outbox
from persistence.ledger import Ledger
from tests.faults.execution_log import note

VARIABLE = "FAULTS_FAILPOINTS"

_left: dict[str, int] = {}


def install() -> None:
    """Switch on what the environment names."""
    for word in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, count = word.partition("=kill")
        _left[name] = int(count.removeprefix("@") or 1)
    if not _left:
        return
    tell, deliver = Ledger._tell, Outbox.__init__

    def after_commit(ledger: Ledger, done: Any, taken: Any) -> None:
        # The first thing after the commit: nobody has been told of it yet.
        source = ledger._source
        sends = source is not None and source.mode == "send"
        messages = [value for future, value in done.answers if hasattr(value, "claim_no")]
        _pass("after_outcome", bool(done.written.outcomes))
        _pass("after_submission", bool(done.written.submissions))
        _pass("after_dispatch", bool(taken) and sends)
        _pass("after_claim", bool(messages) or (bool(taken) and not sends))
        tell(ledger, done, taken)

    def publishing(outbox: Outbox, *args: Any, publish: Callable[[Any], None], **words: Any) -> None:
        def published(job: Any) -> None:
            publish(job)
            _pass("after_publish", happened=True)

        deliver(outbox, *args, publish=published, **words)

    Ledger._tell = after_commit  # type: ignore[method-assign]
    Outbox.__init__ = publishing  # type: ignore[method-assign]


def _pass(name: str, happened: bool) -> None:
    if not happened or name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        note("failpoint", name=name)
        os.kill(os.getpid(), signal.SIGKILL)
