"""Clocks that jump, and many hands that watch the clock at once."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.row import row
from tests.faults.setups import DEFAULT_LEASE, ROOT
from tests.faults.trial import Trial

# Under libfaketime a sleep whose end has passed by the time it begins is an invalid argument.
_SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], max(0, seconds)) and None
"""
_STEPS = ("+3600s", "-3600s", "+0s", "+86400s", "+0s")


@row(
    "F19", "the clock of one worker and of the API jumps by an hour and a day, forwards and back (libfaketime)",
    "no lease and no quota moves", figures=("jumps", "lease_losses", "scheduled", "early_max", "late_max"),
)  # fmt: skip
def jump(trial: Trial) -> None:
    """Move the clocks while jobs run, and while others wait for a moment."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise NotImplementedError("libfaketime is not installed")
    clock = trial.folder / "clock"
    clock.write_text("+0s")
    faked = {
        "LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": f"{trial.folder}:{ROOT}",
    }  # fmt: skip
    (trial.folder / "sitecustomize.py").write_text(_SLEEP)
    trial.start_worker(**faked, **DEFAULT_LEASE)  # an hour is more than any lease, and a busy machine takes no 15 s
    trial.start_worker(**DEFAULT_LEASE)
    trial.start_api(**faked)
    trial.make_users(4)
    trial.wait_for_workers(2)
    trial.load.start(rate=30, ms=(20, 200))
    due = _schedule(trial, 40 if trial.is_long else 20)
    for number in range(60 if trial.is_long else 5):
        _set(clock, _STEPS[number % len(_STEPS)])
        trial.fault("clock moved")
        time.sleep(2.0)
    _set(clock, "+0s")
    trial.drain(60)
    losses = sum(line["e"] in {"dead", "lease_lost"} for line in trial.executions())
    started = {line["job"]: line["t"] for line in reversed(trial.executions()) if line["e"] == "start"}
    errors = [started[id] - moment for id, moment in due.items() if id in started]
    trial.figure("jumps", 60 if trial.is_long else 5)
    trial.figure("lease_losses", losses)
    trial.figure("scheduled", len(due))
    trial.figure("early_max", max(0.0, -min(errors, default=0.0)))
    trial.figure("late_max", max(0.0, max(errors, default=0.0)))
    trial.expect(losses == 0, f"{losses} leases were lost because a clock has moved")
    if trial.setup.database == "postgresql":  # the clock that counts is the database's; SQLite's is that of each process
        trial.expect(min(errors, default=0.0) > -0.05, "a job began before its time")
        trial.expect(max(errors, default=0.0) < 3.0, "a job began long after its time")


def _set(clock: Path, shift: str) -> None:
    """Put a new time there in one step, for it is read at every look at the clock."""
    new = clock.with_suffix(".new")
    new.write_text(shift)
    new.rename(clock)


def _schedule(trial: Trial, count: int) -> dict[str, float]:
    """Submit jobs for the coming seconds; gives when each is due, on the clock that never moves."""
    due = {}
    for number in range(count):
        seconds = 2.0 + 0.4 * number
        moment = time.clock_gettime(time.CLOCK_MONOTONIC) + seconds
        when = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        due[trial.load.submit("user0", {"ms": 1}, run_after=when)] = moment
    return due


@row(
    "F27", "six workers that all sweep, re-send and let due jobs in twenty times a second", "nothing fires twice",
    figures=("scheduled", "retried", "double_fires", "rescued_twice"),
)  # fmt: skip
def many_sweepers(trial: Trial) -> None:
    """Let many jobs come due at the same moment, with retries and deaths among them."""
    trial.begin(workers=6, GREENROOM_SWEEP_SECONDS="0.05")
    trial.load.start(rate=30, ms=(5, 50), fails=1)
    when = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    users = list(trial.users)
    count = 2_000 if trial.is_long else 100

    def submit(user: str) -> None:
        for _ in range(count // len(users)):
            with suppress(AssertionError):
                trial.load.submit(user, {"ms": 5}, run_after=when)

    threads = [threading.Thread(target=submit, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(4.0)
    for number in range(30 if trial.is_long else 2):
        trial.kill(trial.workers[number % 6])
        time.sleep(2.0)
    trial.drain(60)
    lost = {
        (str(job), claim) for job, claim in trial.query("SELECT job_id, claim_no FROM transitions WHERE reason = 'worker lost'")
    }
    ends: dict[str, int] = {}
    for line in trial.executions():
        if line["e"] == "end" and (line["job"], line["claim"]) not in lost:
            ends[line["job"]] = ends.get(line["job"], 0) + 1
    double = sum(times > 1 for times in ends.values())
    trial.figure("scheduled", count)
    trial.figure("retried", trial.count("SELECT count(*) FROM transitions WHERE reason = 'retry'"))
    trial.figure("double_fires", double)
    trial.figure(
        "rescued_twice",
        trial.count(
            """SELECT count(*) FROM (SELECT job_id, claim_no FROM transitions WHERE reason = 'worker lost'
            GROUP BY job_id, claim_no HAVING count(*) > 1) twice"""
        ),
    )
    trial.expect(double == 0, f"{double} jobs were done twice with no worker lost")
