"""Jobs that end their process, in every way there is, and what others in the same house notice of it."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import messages
from tests.faults.row import row
from tests.faults.setups import SETTINGS
from tests.faults.trial import Trial

_MEMORY = Path("/sys/fs/cgroup/memory")
_WORKER_BYTES = 400 << 20
_ATTEMPTS = 3
_LEASES_TO_MAKE_UP = 6
_FEW = 20  # what is under way at any moment of such a load


@row(
    "F20", "poison jobs: SIGKILL of itself, a segmentation fault, memory without end, a C call that holds the interpreter",
    "each is a dead letter after its attempts; the others keep 80 % of their throughput (short form: half)", deadline_seconds=180,
    figures=("poisons", "attempts", "attempts_lost", "crashes", "dead_letters", "throughput_share", "innocent_dead_letters"),
)  # fmt: skip
def poison(trial: Trial) -> None:
    """Measure what the others get done without the poison, then with it."""
    trial.begin(workers=2, users=4)
    poisons = ["kill", "segfault", "hold"]
    group = _limited(trial)
    if group is not None:
        poisons.append("memory")
    trial.load.start(rate=30, users=["user0", "user1", "user2"], ms=(20, 100))
    before = _rate(trial, 8.0)
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    for name in poisons:
        trial.load.submit("user3", {"poison": name, "ms": 50}, type="faults.poison")
        trial.fault(f"poison: {name}")
    unfinished = "SELECT count(*) FROM jobs WHERE type = 'faults.poison' AND status IN ('queued', 'processing')"

    def is_over() -> bool:
        _limit(trial, group)  # for the workers that have been started again
        return trial.count(unfinished) == 0

    trial.wait(is_over, "end of the poison", seconds=100)
    # What the last death has held up belongs to it, and is made up for, within a few leases: starting anew takes its time, too.
    held_up = "SELECT count(*) FROM jobs WHERE type <> 'faults.poison' AND status IN ('queued', 'processing')"
    deadline = time.monotonic() + _LEASES_TO_MAKE_UP * float(SETTINGS["LEASE_SECONDS"])
    while trial.count(held_up) > _FEW and time.monotonic() < deadline:
        time.sleep(0.2)
    during = _ends_since(trial, began) / (time.clock_gettime(time.CLOCK_MONOTONIC) - began)
    trial.drain()
    crashes, ended = _crashes(trial), _ended(trial)
    lost = {attempt for attempt, reason in ended.items() if reason == "worker lost"}
    innocent = trial.count("SELECT count(*) FROM jobs WHERE type <> 'faults.poison' AND status = 'failed'")
    dead = trial.count("SELECT count(*) FROM jobs WHERE type = 'faults.poison' AND status = 'failed'")
    trial.figure("poisons", len(poisons))
    trial.figure("crashes", len(crashes))
    trial.figure("attempts_lost", len(lost))
    trial.figure("attempts", len(ended))
    trial.figure("throughput_share", during / before)
    trial.figure("innocent_dead_letters", innocent)
    trial.expect(dead == len(poisons), f"{dead} of {len(poisons)} poison jobs are dead letters")
    trial.expect(
        len(ended) == len(poisons) * _ATTEMPTS, f"{len(ended)} attempts of {_ATTEMPTS} for each of {len(poisons)} poison jobs"
    )
    # One poison takes the other's claim with it before that has begun: fewer crashes than attempts are possible, others are not.
    trial.expect(crashes <= lost, f"crashes that the ledger does not know: {crashes - lost}")
    harmless = len(poisons) - len({job for job, _ in crashes})
    trial.expect(harmless == 0, f"{harmless} of {len(poisons)} poison jobs have ended no process")
    trial.expect(innocent == 0, f"{innocent} other jobs became dead letters")
    # In its short form this row shares two processors with another trial, and each death costs them a new start of Python.
    share = 0.8 if trial.is_long else 0.5
    trial.expect(during >= share * before, f"the others got {during:.1f} jobs/s done beside the poison, and {before:.1f} before")


def _crashes(trial: Trial) -> set[tuple[str, int]]:
    """Find the attempts at poison, by job and claim, that were begun and never came to any end of their own."""
    poison = {str(job) for (job,) in trial.query("SELECT id FROM jobs WHERE type = 'faults.poison'")}
    lines = [line for line in trial.executions() if line.get("job") in poison]
    begun = {(line["job"], line["claim"]) for line in lines if line["e"] == "start"}
    return begun - {(line["job"], line["claim"]) for line in lines if line["e"] in {"end", "stop"}}


def _ended(trial: Trial) -> dict[tuple[str, int], str | None]:
    """Read from the ledger how the attempts at poison ended, by job and claim."""
    steps = """SELECT t.job_id, t.claim_no, t.reason FROM transitions t JOIN jobs j ON j.id = t.job_id
    WHERE j.type = 'faults.poison' AND t.from_status = 'processing'"""
    return {(str(job), claim): reason for job, claim, reason in trial.query(steps)}


def _rate(trial: Trial, seconds: float) -> float:
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    time.sleep(seconds)
    return _ends_since(trial, began) / seconds


def _ends_since(trial: Trial, moment: float) -> int:
    return sum(line["e"] == "end" and line["t"] > moment for line in trial.executions())


def _limited(trial: Trial) -> Path | None:
    """Make a group of processes with little memory, where the kernel lets us."""
    if not _MEMORY.is_dir() or os.geteuid() != 0:
        return None
    group = _MEMORY / f"greenroom-faults-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(_WORKER_BYTES * 2))
    trial.stack.callback(_remove, group)
    _limit(trial, group)
    return group


def _limit(trial: Trial, group: Path | None) -> None:
    """Put the workers that there are now into the group."""
    if group is None:
        return
    for worker in trial.workers:
        for pid in worker.working:
            with suppress(OSError):
                (group / "cgroup.procs").write_text(str(pid))


def _remove(group: Path) -> None:
    with suppress(OSError):
        group.rmdir()


@row(
    "F21",
    "NUL in an error's text; with a message broker also garbage bodies and unknown actors",
    "the consumer survives",
    figures=("strange_jobs", "consumer_restarts"),
)
def garbage(trial: Trial) -> None:
    """Let jobs fail with words that no database takes, and send what is no message."""
    trial.begin(workers=1, users=2)
    starts = trial.workers[0].starts
    trial.load.start(rate=20, ms=(5, 50))
    words = ["nul", "half", "long", "nothing"]
    for number in range(len(words) * 3):
        trial.load.submit("user0", {"fails": 1, "words": words[number % len(words)]}, max_attempts=1 + number % 2)
        trial.fault("strange error text")
    if trial.setup.broker != "sql":
        _send_garbage(trial)
    time.sleep(2.0)
    trial.drain()
    if trial.setup.broker != "sql":
        trial.expect("message.refused" in trial.workers[0].output, "no garbage has come to the worker")
    trial.figure("strange_jobs", len(words) * 3)
    trial.figure("consumer_restarts", trial.workers[0].starts - starts)
    trial.expect(trial.workers[0].starts == starts, "a worker died of what it was sent")


def _send_garbage(trial: Trial) -> None:
    hint = {
        "queue_name": "default",
        "actor_name": "faults.work",
        "kwargs": {},
        "options": {},
        "message_id": "x",
        "message_timestamp": 0,
    }
    unknown = "01a20480-0000-7000-8000-000000000000"
    envelopes: list[Any] = [
        hint | {"args": [unknown, 1]}, hint | {"args": [unknown, -1]}, hint | {"args": ["no id", 1]},
        hint | {"args": [unknown, 2**40]},
        hint | {"args": [unknown, 1], "actor_name": "nobody.knows"}, hint | {"args": [unknown, 1], "queue_name": "elsewhere"},
        hint | {"args": [unknown, 1], "options": {"eta": 2**50}}, hint | {"args": []}, [], 1, None, "text", {"a": 1},
    ]  # fmt: skip
    bodies = [json.dumps(envelope).encode() for envelope in envelopes]
    bodies += [b"", b"\0", b"\xff\xfe garbage", b"{" * 50_000, b"\x80\x04\x95pickle", b"[" + b"9" * 100_000 + b"]"]
    for _ in range(3):
        messages.put(trial.setup.broker, trial.broker_url, "default", bodies)
        for _ in bodies:
            trial.fault("garbage message")
        time.sleep(0.5)
