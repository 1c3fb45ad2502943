"""The job types that are measured; workers and API load them through GREENROOM_ACTORS."""

import time

from actors.job import JobContext, job
from benchmarks.names import CLOCK, NOTHING


@job(NOTHING)
def nothing(context: JobContext, payload: dict[str, object]) -> None:
    """Do nothing: what is measured is all that Greenroom does around it."""
    del context, payload


@job(CLOCK, result=float)
def clock(context: JobContext, payload: dict[str, object]) -> float:
    """Return the moment at which the work began, in seconds of this machine's clock."""
    del context, payload
    return time.time()
