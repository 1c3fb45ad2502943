"""Processes that die: killed in the middle of a job, at a failpoint, or by a signal that lets them say goodbye."""

import signal
import time

from tests.faults.row import row
from tests.faults.setups import DEFAULT_LEASE, PATIENCE
from tests.faults.trial import Trial

_PAUSE_SECONDS = 1.5


@row("F1", "kill -9 of a worker in the middle of a job", "the attempt is counted", figures=("attempts_counted",))
def kill_worker(trial: Trial) -> None:
    """Kill one of two workers again and again, turn about."""
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(20, 300))
    for number in range(60 if trial.is_long else 4):
        worker = trial.workers[number % 2]
        trial.wait_until_all_work()  # one of them has to be there to notice
        _wait_until_busy(trial, worker.working)
        trial.kill(worker)
        time.sleep(_PAUSE_SECONDS)
    trial.drain()
    counted = trial.count("SELECT count(*) FROM transitions WHERE reason = 'worker lost'")
    trial.figure("attempts_counted", counted)
    trial.expect(counted > 0, "no kill has met a job")


@row(
    "F1b", "kill -9 of a worker in the middle of a job, with the default settings: lease 15 s, beat 5 s, sweep 2 s",
    "the job starts again within 20 s, p99, and 30 s at the most", figures=("attempts_counted",), deadline_seconds=300,
)  # fmt: skip
def kill_worker_by_default(trial: Trial) -> None:
    """Kill one of two workers, twice."""
    for _ in range(2):
        trial.start_worker(**DEFAULT_LEASE)
    trial.start_api()
    trial.make_users(4)
    trial.wait_for_workers(2)
    trial.load.start(rate=20, ms=(200, 600))
    for number in range(40 if trial.is_long else 2):
        worker = trial.workers[number % 2]
        trial.wait_until_all_work()
        _wait_until_busy(trial, worker.working)
        trial.kill(worker)
        time.sleep(20.0)
    trial.drain(60)
    trial.figure("attempts_counted", trial.count("SELECT count(*) FROM transitions WHERE reason = 'worker lost'"))


def _wait_until_busy(trial: Trial, pids: list[int]) -> None:
    def busy() -> bool:
        at_work: set[tuple[str, int]] = set()
        for line in trial.executions():
            if line["e"] == "start" and (not pids or line["pid"] in pids):
                at_work.add((line["job"], line["claim"]))
            elif line["e"] in {"end", "stop"}:
                at_work.discard((line["job"], line["claim"]))
        return bool(at_work)

    trial.wait(busy, "worker that is at work")


@row(
    "F2",
    "a worker dies between the commit of its claims and the first job",
    "nothing stays processing for ever",
    figures=("kills",),
)
def die_after_claim(trial: Trial) -> None:
    """Let one worker die at its fifth claim, again and again, beside a healthy one."""
    trial.start_worker(FAULTS_FAILPOINTS="after_claim=kill@5")
    trial.begin(workers=1)
    trial.load.start(rate=40, ms=(20, 100))
    let_die(trial, 40 if trial.is_long else 4)


@row(
    "F5",
    "a worker dies between the commit of a result and everything after it",
    "no finished job runs again",
    figures=("kills", "reruns"),
)
def die_after_outcome(trial: Trial) -> None:
    """Let one worker die at the commit of its tenth batch of outcomes, again and again, beside a healthy one."""
    trial.start_worker(FAULTS_FAILPOINTS="after_outcome=kill@10")
    trial.begin(workers=1)
    trial.load.start(rate=40, ms=(20, 100))
    let_die(trial, 40 if trial.is_long else 4)
    completed = trial.query("SELECT job_id, claim_no FROM transitions WHERE to_status = 'completed'")
    final = {str(job): claim for job, claim in completed}
    reruns = sum(
        1 for line in trial.executions() if line["e"] == "start" and line["claim"] > final.get(line["job"], line["claim"])
    )
    trial.figure("reruns", reruns)
    trial.expect(reruns == 0, f"{reruns} executions began after the job's result was committed")


def let_die(trial: Trial, times: int) -> None:
    """Wait until the failpoint has struck so often, then let its worker live without it."""
    dying = trial.workers[0]
    trial.wait(lambda: strikes(trial) >= times, f"{times} deaths at the failpoint", seconds=60 + 5 * times)
    dying.is_wanted = False
    trial.load.stop()
    dying.stop()
    trial.drain()
    trial.figure("kills", strikes(trial))


def strikes(trial: Trial) -> int:
    """Count how often a failpoint has struck."""
    return sum(line["e"] == "failpoint" for line in trial.executions())


@row(
    "F6", "SIGTERM in the middle of jobs, then once more; rolling restarts under load",
    "no attempt is burned that ends within its grace; nothing is lost or repeated",
    figures=("restarts", "exit_max", "burned", "handed_back", "second_signal_exit"),
)  # fmt: skip
def restart(trial: Trial) -> None:
    """Restart the workers in turn under load, then send one of them a second SIGTERM."""
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(20, 300))
    exits = []
    for number in range(100 if trial.is_long else 6):
        worker = trial.workers[number % 2]
        trial.load.submit_many("user3", 100, type="faults.quick", ms=5)  # short ones are claimed ahead, and have to go back
        _wait_until_busy(trial, worker.working)
        trial.fault("SIGTERM")
        exits.append(worker.stop())
        worker.resume()
        trial.wait_until_all_work()
    burned = trial.count("SELECT count(*) FROM transitions WHERE reason IN ('worker lost', 'retry')")
    trial.figure("restarts", len(exits))
    trial.figure("exit_max", max(exits))
    trial.figure("burned", burned)
    trial.figure("handed_back", trial.count("SELECT count(*) FROM transitions WHERE reason = 'worker stopped'"))
    trial.expect(burned == 0, f"{burned} attempts were burned by restarts")
    trial.expect(max(exits) <= (5 + 5) * PATIENCE, f"a worker took {max(exits):.1f} s to end, of 5 s of grace")
    _second_signal(trial)
    trial.drain()


def _second_signal(trial: Trial) -> None:
    """Send one worker SIGTERM twice: the second one means now."""
    worker = trial.workers[0]
    worker.is_wanted = False
    _wait_until_busy(trial, worker.working)
    below = worker.working
    worker.signal(signal.SIGTERM)
    time.sleep(0.05)
    trial.fault("second SIGTERM", pid=below[0] if below else 0)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    trial.expect(worker.wait(12) is not None, "a worker lived on after its second SIGTERM")
    trial.figure("second_signal_exit", time.monotonic() - began)
    worker.resume()
