"""Too much at once: bursts, one caller among many, and fifty hands on one job."""

import http.client
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.load import Caller
from tests.faults.row import row
from tests.faults.trial import Trial

_ONE_CALLERS_JOBS = 1000


@row(
    "F23", "10,000 jobs as fast as can be (short form: 2,000), four workers racing for the slots of few users (long form: eight, "
    "and 90,000 jobs more in bulk)",
    "callers are slowed down; nothing runs out of memory; no limit is exceeded", deadline_seconds=180,
    figures=("jobs_sent", "workers", "accept_p99", "drained_in", "api_rss_mib", "worker_rss_mib", "most_at_work"),
)  # fmt: skip
def burst(trial: Trial) -> None:
    """Submit as fast as sixteen callers can."""
    workers = 8 if trial.is_long else 4
    trial.begin(workers=workers, users=40 if trial.is_long else 4, tier={"max_running": 3})
    count = 10_000 if trial.is_long else 2_000
    trial.fault("burst")
    users = list(trial.users)
    threads = [threading.Thread(target=_submit, args=(trial, users[number % 4], count // 16)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trial.figure("workers", workers)
    for user in users if trial.is_long else ():
        trial.load.submit_many(user, 90_000 // len(users), ms=2)
    trial.figure("jobs_sent", trial.load.answers)
    seconds = sorted(trial.load.seconds)
    trial.figure("accept_p99", seconds[int(len(seconds) * 0.99)] if seconds else None)
    trial.figure("drained_in", trial.drain(200 if trial.is_long else 90))
    trial.figure("api_rss_mib", _rss_mib(trial.api_child()))
    trial.figure("worker_rss_mib", max(_rss_mib(pid) for worker in trial.workers for pid in worker.working))
    trial.expect(len(seconds) == count, f"{count - len(seconds)} of {count} jobs were not accepted")


def _submit(trial: Trial, user: str, count: int) -> None:
    for _ in range(count):
        with suppress(AssertionError, OSError, http.client.HTTPException):
            trial.load.submit(user, {"ms": 2})


def _rss_mib(pid: int) -> float:
    with suppress(OSError), Path(f"/proc/{pid}/status").open() as status:
        for line in status:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


@row(
    "F24", "one caller's burst of 10,000 jobs (short form: 1,500), 50 others (20) with 20 (5) jobs each", "the others start soon",
    deadline_seconds=180, figures=("victims", "wait_p50", "wait_p99", "wait_max"),
)  # fmt: skip
def crowd(trial: Trial) -> None:
    """Let one user fill the queue, then let the others come."""
    trial.begin(workers=2, users=1, tier={"max_running": 8})
    victims = trial.make_users(50 if trial.is_long else 20, name="victim", tier={"max_running": 8})
    trial.load.submit_many("user0", 10_000 if trial.is_long else 1_500, ms=10)
    trial.fault("burst of one user")
    asked: dict[str, float] = {}
    for _ in range(20 if trial.is_long else 5):
        for victim in victims:
            id = trial.load.submit(victim, {"ms": 10})
            asked[id] = time.clock_gettime(time.CLOCK_MONOTONIC)
    trial.drain(250 if trial.is_long else 90)
    started = {line["job"]: line["t"] for line in reversed(trial.executions()) if line["e"] == "start"}
    waits = sorted(max(0.0, started[id] - moment) for id, moment in asked.items() if id in started)
    trial.figure("victims", len(victims))
    for name, share in (("wait_p50", 0.5), ("wait_p99", 0.99), ("wait_max", 1.0)):
        trial.figure(name, waits[min(len(waits) - 1, int(share * len(waits)))])
    trial.expect(trial.verdict.figures["wait_p99"] <= 2.0, "the others waited for more than 2 s, p99")


@row(
    "F26", "cancel, complete, retry and rescue race for the same jobs (long form: 10,000 trials)", "one wins, the others get 409",
    deadline_seconds=150, figures=("trials", "cancelled", "too_late", "illegal"),
)  # fmt: skip
def race(trial: Trial) -> None:
    """Cancel each job from two callers at about the moment at which it ends, while workers die now and then."""
    trial.begin(workers=2, users=4)
    answers: dict[int, int] = {}
    lock = threading.Lock()
    per_user = 2_500 if trial.is_long else 60

    def play(user: str) -> None:
        callers = [Caller(trial.port, trial.users[user][1]) for _ in range(2)]
        for number in range(per_user):
            id = trial.load.submit(user, {"ms": 10, "fails": number % 3 == 0})
            time.sleep(0.005 * (number % 12))
            threads = [threading.Thread(target=cancel, args=(caller, id)) for caller in callers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def cancel(caller: Caller, id: str) -> None:
        with suppress(OSError, http.client.HTTPException):
            status, _ = caller.call("DELETE", f"/jobs/{id}")
            with lock:
                answers[status] = answers.get(status, 0) + 1

    players = [threading.Thread(target=play, args=(user,)) for user in trial.users]
    for player in players:
        player.start()
    number = 0
    while any(player.is_alive() for player in players):
        time.sleep(4.0)
        trial.kill(trial.workers[number % 2])
        number += 1
    trial.drain()
    trial.figure("trials", per_user * 4)
    trial.figure("cancelled", trial.count("SELECT count(*) FROM jobs WHERE status = 'cancelled'"))
    trial.figure("too_late", answers.get(409, 0))
    trial.expect(not set(answers) - {200, 202, 204, 409}, f"cancelling was answered with {answers}")


@row(
    "F33",
    "a dead letter's replay is pressed twice at the same time",
    "the job is queued once",
    figures=("letters", "presses", "taken", "refused"),
)
def replay(trial: Trial) -> None:
    """Press it from two callers at once, for each of many letters."""
    trial.begin(workers=2, users=2)
    count = 200 if trial.is_long else 20
    for number in range(count):
        trial.load.submit(f"user{number % 2}", {"ms": 1, "fails": 1}, max_attempts=1)
    dead = "SELECT count(*) FROM dead_letters"
    trial.wait(lambda: trial.count(dead) >= count, f"{count} dead letters")
    answers: list[int] = []
    for letter, user in trial.query(
        "SELECT d.id, u.name FROM dead_letters d JOIN jobs j ON j.id = d.job_id JOIN users u ON u.id = j.user_id"
    ):
        trial.fault("replay pressed twice")
        callers = [Caller(trial.port, trial.users[user][1]) for _ in range(2)]
        both = threading.Barrier(2)

        def press(caller: Caller, letter: str = str(letter), both: threading.Barrier = both) -> None:
            both.wait()
            answers.append(caller.call("POST", f"/dead-letters/{letter}/replay", {})[0])

        threads = [threading.Thread(target=press, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    trial.drain()
    requeued = trial.count("SELECT count(*) FROM transitions WHERE from_status = 'failed' AND to_status = 'queued'")
    trial.figure("letters", count)
    trial.figure("presses", len(answers))
    trial.figure("taken", requeued)
    trial.figure("refused", sum(status == 409 for status in answers))
    trial.expect(requeued == count, f"{count} letters were requeued {requeued} times")
