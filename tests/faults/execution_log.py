"""The log in which the processes under test say what they really did; the oracle reads it, the product never does."""

import json
import os
import time
from typing import Any

LOG_VARIABLE = "FAULTS_EXECUTIONS"
# What controls say: that a guard was missed, and that there was none where it should have been.
WITHOUT, STALE = "without", "stale"

_files: dict[int, int] = {}


def note(event: str, **words: Any) -> None:
    """Append one line, whole even when many processes write at once: each is one write to a file that is only appended to.

    Times are of the machine's monotonic clock, which all processes share and no change of the date moves.
    """
    path = os.environ.get(LOG_VARIABLE)
    if path is None:
        return
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(
        _files[pid], json.dumps({"e": event, "t": time.clock_gettime(time.CLOCK_MONOTONIC), "pid": pid, **words}).encode() + b"\n"
    )
