"""Receivers of webhooks: some that do whatever a receiver can do wrong, and one that does all right."""

import time
from collections import defaultdict

from tests import receiver as receivers
from tests.faults.load import Caller
from tests.faults.row import row
from tests.faults.trial import Trial
from tests.receiver import Receiver

WAYS = ("good", "hang", "reset", "500", "302", "trickle", "flood")


@row(
    "F30", "webhook receivers that hang, reset, answer 500, redirect, trickle and answer with 1 GB; a worker is killed meanwhile",
    "every event arrives at least once, under one id, and at the good receiver in time",
    figures=("events", "lost", "repeated", "good_lag_max", "wall"),
)  # fmt: skip
def bad_receivers(trial: Trial) -> None:
    """Let all users register all receivers, fail for a while, kill a worker, heal, and count what has arrived where."""
    trial.begin(workers=2)
    opened = {way: Receiver() for way in WAYS}
    for one in opened.values():
        trial.stack.callback(one.close)
    inside = Receiver()
    trial.stack.callback(inside.close)
    for way, one in opened.items():
        _misbehave(one, way, inside)
    for _, key in trial.users.values():
        caller = Caller(trial.port, key)
        for one in opened.values():
            status, made = caller.call("POST", "/webhooks", {"url": one.url})
            assert status == 201, made
        caller.close()
    trial.load.start(rate=15, ms=(2, 20))
    trial.fault("receivers misbehave")
    trial.wait(lambda: all(len(one.received) >= 3 for one in opened.values()), "request at every receiver", seconds=40)
    trial.kill(trial.workers[0])
    time.sleep(60.0 if trial.is_long else 5.0)
    began = time.monotonic()
    for one in opened.values():
        one.closing.set()  # lets go of whoever hangs
        one.behave = receivers.status(204)
    trial.heal("receivers behave")
    trial.drain()
    pending = "SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered'"
    wanted = f"SELECT {len(WAYS)} * count(*) FROM transitions WHERE to_status IN ('completed', 'failed')"
    made = "SELECT count(*) FROM webhook_deliveries"
    trial.wait(lambda: trial.count(made) >= trial.count(wanted), "delivery of every event and receiver", seconds=30)
    trial.wait(lambda: trial.count(pending) == 0, "delivery of all that is pending", seconds=90)
    trial.figure("wall", time.monotonic() - began)
    _account(trial, opened, trial.count(wanted))
    trial.expect(inside.received == [], f"{len(inside.received)} redirects were followed")


def _misbehave(one: Receiver, way: str, inside: Receiver) -> None:
    ways = {
        "hang": one.hang,
        "trickle": one.trickle,
        "reset": receivers.reset,
        "500": receivers.status(500),
        "302": receivers.status(302, Location=inside.url),
        "flood": receivers.flood,
    }
    one.behave = ways.get(way, one.behave)


def _account(trial: Trial, opened: dict[str, Receiver], wanted: int) -> None:
    """Hold what has arrived against the audit trail: by plain SQL, and by what the receivers have written down."""
    trail = trial.query("SELECT job_id, seq FROM transitions WHERE to_status IN ('completed', 'failed')")
    jobs = {str(job) for job, _ in trail}
    lost = repeated = 0
    for way, one in opened.items():
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for request in one.received:
            ids[request.said["data"]["job"]].add(request.id)
        lost += len(jobs - set(ids))
        repeated += len(one.received) - len({request.id for request in one.received})
        unstable = [job for job, of_job in ids.items() if len(of_job) > sum(str(other) == job for other, _ in trail)]
        trial.expect(not unstable, f"{way}: jobs came under several ids, such as {unstable[:3]}")
    trial.figure("events", wanted)
    trial.figure("lost", lost)
    trial.figure("repeated", repeated)
    trial.expect(lost == 0, f"{lost} events never arrived")
    good = opened["good"].port
    lag = "max(julianday(d.delivered_at) - julianday(d.created_at)) * 86400"
    if trial.setup.database != "sqlite":
        lag = "extract(epoch FROM max(d.delivered_at - d.created_at))"
    from_good = f"FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE e.url LIKE '%:{good}/%'"
    seconds = float(trial.query(f"SELECT {lag} {from_good}")[0][0])
    trial.figure("good_lag_max", seconds)
    trial.expect(seconds < 25, f"the good receiver had to wait {seconds:.1f} s beside the bad ones")
