"""Processes that are frozen for longer than their lease, and wake up with claims that are no longer theirs."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.processes import Process
from tests.faults.row import row
from tests.faults.setups import SETTINGS, FaultError
from tests.faults.trial import Trial

_FREEZER = Path("/sys/fs/cgroup/freezer")


@row(
    "F18", "a worker is frozen for three leases, by SIGSTOP and by the kernel's freezer, and thawed",
    "everything that it writes late is refused",
    figures=("freezes", "freezer", "stale_tried", "stale_accepted", "ended_itself", "froze_all"),
)  # fmt: skip
def freeze(trial: Trial) -> None:
    """Freeze two workers in turn.

    One is as it is, the other one has no watchdog and does not look at its lease, so that it tries to write late and the
    fence stands alone.
    """
    usual = trial.threads
    trial.threads = 50 if trial.is_long else usual
    trial.start_worker(FAULTS_WITHOUT=",".join(filter(None, ("watchdog", "beat_check", trial.without))))
    trial.threads = usual
    trial.begin(workers=2, tier={"max_running": 50})
    trial.load.start(rate=150 if trial.is_long else 40, ms=(50, 400), deaf=True)
    careless, ordinary = trial.workers[0], trial.workers[1]
    rounds = 40 if trial.is_long else 3
    ended = 0
    for number in range(rounds):
        _freeze(trial, careless, by_kernel=number % 2 == 1)
        pids = ordinary.working
        _freeze(trial, ordinary, by_kernel=False) if number == 0 else None
        ended += bool(number == 0 and pids != ordinary.working)
    trial.drain()
    tried = [line for line in trial.executions() if line["e"] == "refused"]
    trial.figure("freezes", rounds + 1)
    trial.figure("freezer", _FREEZER.is_dir())
    trial.figure("stale_tried", len(tried))
    trial.figure("stale_accepted", _accepted(trial))
    trial.figure("ended_itself", ended)
    trial.expect(tried or trial.without, "no process has tried to write late")


def _accepted(trial: Trial) -> int:
    """Count the results that were committed by a claim that had been taken from its worker before.

    By what attempts commit of their own: a transition bears the number that the row has, whoever wrote it.
    """
    lost = "SELECT CAST(job_id AS varchar) AS job_id, claim_no FROM transitions WHERE reason = 'worker lost'"
    return trial.count(
        f"SELECT count(*) FROM faults_effects e JOIN ({lost}) l ON l.job_id = e.job_id AND l.claim_no = e.claim_no"
    )


def _freeze(trial: Trial, worker: Process, *, by_kernel: bool) -> None:
    (pid,) = trial.wait(lambda: worker.working, f"process of {worker.name}")
    trial.wait(lambda: _is_busy(trial, pid), "worker that is at work")
    group = _FREEZER / f"greenroom-faults-{pid}"
    dead = sum(line["e"] == "dead" for line in trial.executions())
    kernel = by_kernel and _FREEZER.is_dir() and os.geteuid() == 0
    trial.fault("freezer" if kernel else "SIGSTOP", pid=pid)
    if kernel:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
    else:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3 * float(SETTINGS["LEASE_SECONDS"]))
    try:
        trial.wait(
            lambda: sum(line["e"] == "dead" for line in trial.executions()) > dead,
            "dead worker",
            seconds=10.0 if trial.setup.database == "sqlite" else 40.0,
        )
    except FaultError:
        # One that was frozen in the middle of a write keeps SQLite's one lock until it wakes: nobody can write meanwhile.
        if trial.setup.database != "sqlite":
            raise
        trial.figure("froze_all", trial.verdict.figures.get("froze_all", 0) + 1)
    if kernel:
        (group / "freezer.state").write_text("THAWED")
        with suppress(OSError):
            (_FREEZER / "cgroup.procs").write_text(str(pid))
            group.rmdir()
    else:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.0)  # for it to do what harm it can


def _is_busy(trial: Trial, pid: int) -> bool:
    at_work = set()
    for line in trial.executions():
        if line["pid"] == pid and line["e"] == "start":
            at_work.add((line["job"], line["claim"]))
        elif line["e"] in {"end", "stop"}:
            at_work.discard((line["job"], line["claim"]))
    return bool(at_work)
