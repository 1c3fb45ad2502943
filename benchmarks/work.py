"""The job types that are measured; workers and API load them through GREENROOM_ACTORS."""

import time

from actors.job import JobContext, job

NOTHING = "benchmarks.nothing"
CLOCK = "benchmarks.clock"


@job(NOTHING)
def nothing(context: JobContext, payload: dict[str, object]) -> None:
    """Do nothing: what is measured is all that Greenroom does around it."""


@job(CLOCK)
def clock(context: JobContext, payload: dict[str, object]) -> float:
    """Return the moment at which the work began, in seconds of this machine's clock."""
    return time.time()
