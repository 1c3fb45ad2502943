"""Job types of the campaign, loaded into the processes under test by GREENROOM_ACTORS, with the witness and the failpoints.

Each attempt writes into the execution log when it begins and when it ends, commits one row of its own together with its
completion, and puts its claim's number into its result: three accounts of one event that have to agree.
"""

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from actors.job import Backoff, JobContext, Retryable, job
from persistence.database import Session
from tests.faults import controls, failpoints, witness
from tests.faults.execution_log import note

_SLICE_SECONDS = 0.01
# What no payload may hold and an error's text may.
_STRANGE = {"nul": "nul \0 in the middle", "half": "half \ud800 a character", "long": "x" * 100_000, "nothing": ""}


def _effect(context: JobContext, claim_no: int) -> None:
    job_id = context.id

    def write(session: Session) -> None:
        session.execute(
            text("INSERT INTO faults_effects (job_id, claim_no) VALUES (:job, :claim)"), {"job": job_id, "claim": claim_no}
        )

    context.commit_with(write)


def _perform(context: JobContext, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    claim = context._attempt.claim
    which = {"job": claim.id, "claim": claim.claim_no}
    note("start", **which, attempt=claim.attempt, user=claim.user_id)
    whole = False
    try:
        until = time.monotonic() + payload.get("ms", 0) / 1000
        while (left := until - time.monotonic()) > 0:
            if not payload.get("deaf"):
                context.check()
            time.sleep(min(_SLICE_SECONDS, left))
        if claim.attempt <= payload.get("fails", 0):
            raise Retryable(_STRANGE.get(payload.get("words", ""), "not yet"))
        if "poison" in payload:
            POISONS[payload["poison"]]()
        _effect(context, claim.claim_no)
        whole = True
    finally:
        note("end" if whole else "stop", **which, user=claim.user_id)
    return {"token": payload.get("token"), "claim": claim.claim_no}


@job("faults.work", payload=dict, result=dict, time_limit_seconds=60, retry=Backoff(0.2), max_attempts=20)
def work(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Take some time."""
    return dict(_perform(context, payload))


@job("faults.quick", payload=dict, result=dict, max_attempts=20)
def quick(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Take so little time that it is claimed ahead of a free thread."""
    return dict(_perform(context, payload))


@job("faults.poison", payload=dict, result=dict, time_limit_seconds=4, retry=Backoff(0.2), max_attempts=3)
def poison(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """End the process that works on it, in one way or another."""
    return dict(_perform(context, payload))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    ctypes.string_at(8)


def _eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (16 << 20))


def _hold_the_interpreter() -> None:
    # PyDLL keeps the interpreter's lock during the call, as a loop in a C extension does.
    ctypes.PyDLL(None).sleep(3600)


POISONS = {"kill": _kill, "segfault": _segfault, "memory": _eat_memory, "hold": _hold_the_interpreter}

witness.install()
failpoints.install()
controls.install()
