"""Brokers that die, forget, remember too much, or say everything three times."""

import json
import time
from functools import partial
from urllib.parse import urlsplit

from tests.faults import messages
from tests.faults.proxy import Proxy
from tests.faults.row import MESSAGES, row
from tests.faults.rows.deaths import let_die
from tests.faults.rows.slowness import Dropped
from tests.faults.setups import SETTINGS
from tests.faults.trial import Trial

# What is re-sent because a busy machine is slow would come three times as well, and make it slower.
_LATER = "10"
RABBITMQ, REDIS = frozenset({"rabbitmq"}), frozenset({"redis"})


@row(
    "F3", "a worker dies between the commit of a dispatch and its publishing", "the message is sent again", brokers=MESSAGES,
    figures=("kills", "resent", "publish_delay_p99"),
)  # fmt: skip
def die_before_publish(trial: Trial) -> None:
    """Let one worker die at its fifth dispatch, again and again, beside a healthy one."""
    trial.start_worker(FAULTS_FAILPOINTS="after_dispatch=kill@5")
    trial.begin(workers=1)
    trial.load.start(rate=40, ms=(20, 100))
    let_die(trial, 40 if trial.is_long else 4)
    resent = sum(line["jobs"] for line in trial.executions() if line["e"] == "resent")
    trial.figure("resent", resent)
    trial.figure("publish_delay_p99", _start_delay(trial))
    trial.expect(resent > 0 or trial.without, "no message had to be sent again")


def _start_delay(trial: Trial) -> float:
    """How long after they were accepted jobs began, p99."""
    accepted = {line["id"]: line["t"] for line in map(json.loads, (trial.folder / "client.log").read_text().splitlines())}
    started = {line["job"]: line["t"] for line in reversed(trial.executions()) if line["e"] == "start"}
    delays = sorted(started[id] - moment for id, moment in accepted.items() if id in started)
    return float(delays[int(0.99 * (len(delays) - 1))])


@row(
    "F4", "a worker dies after publishing, before it could note that", "a duplicate is harmless", brokers=MESSAGES,
    figures=("kills", "refused_claims"),
)  # fmt: skip
def die_after_publish(trial: Trial) -> None:
    """Let one worker die at its tenth publishing, again and again, beside a healthy one."""
    trial.start_worker(FAULTS_FAILPOINTS="after_publish=kill@10")
    trial.begin(workers=1)
    trial.load.start(rate=40, ms=(20, 100))
    let_die(trial, 40 if trial.is_long else 4)


@row(
    "F7", "the broker is killed and started again after 30 s (short form 8 s)", "the API accepts all the same", brokers=MESSAGES,
    figures=("rejected_submits", "accepted_during", "outage_seconds"),
)  # fmt: skip
def kill_broker(trial: Trial) -> None:
    """Kill it under load."""
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(20, 100))
    for _ in range(5 if trial.is_long else 1):
        _wait_for_ends(trial, 40)
        trial.fault("broker killed")
        began, before = time.monotonic(), trial.load.answers
        trial.tell_broker("kill")
        time.sleep(30.0 if trial.is_long else 8.0)
        trial.figure("accepted_during", trial.load.answers - before)
        trial.tell_broker("start")
        trial.heal("broker")
        trial.figure("outage_seconds", time.monotonic() - began)
        trial.expect(trial.load.answers > before, "nothing was accepted while the broker was away")
        _wait_for_ends(trial, 40)
    trial.drain(60)
    trial.figure("rejected_submits", sum(trial.load.errors.values()))
    trial.expect(not trial.load.errors, f"callers noticed the broker's death: {trial.load.errors}")


@row(
    "F8", "the broker is wiped under live consumers with 10,000 jobs queued (short form 400): reset or FLUSHALL; queues deleted",
    "all is sent again, and consumers return", brokers=MESSAGES, deadline_seconds=300,
    figures=("queued", "wipes", "resent", "drained_in"),
)  # fmt: skip
def wipe(trial: Trial) -> None:
    """Wipe it while there is much to do, twice, in two ways."""
    trial.begin(workers=2)
    count = 10_000 if trial.is_long else 400
    trial.load.submit_many("user0", count // 2, ms=20)
    trial.load.submit_many("user1", count - count // 2, ms=20)
    for number in range(6 if trial.is_long else 2):
        _wait_for_ends(trial, 30)
        trial.fault("broker wiped")
        if trial.setup.broker == "rabbitmq" and number % 2:
            messages.delete_queues(trial.broker_url)
        elif trial.setup.broker == "rabbitmq":
            trial.tell_broker("wipe")
        else:
            messages.empty("redis", trial.broker_url)
        trial.heal("broker")
        _wait_for_ends(trial, 30)
    trial.figure("queued", count)
    trial.figure("wipes", 6 if trial.is_long else 2)
    trial.figure("drained_in", trial.drain(300 if trial.is_long else 90))
    trial.figure("resent", sum(line["jobs"] for line in trial.executions() if line["e"] == "resent"))


@row(
    "F9", "Redis is put back to an older state", "what comes back from the dead is refused", brokers=REDIS,
    figures=("resurrected", "refused_claims", "executed_twice"),
)  # fmt: skip
def resurrect(trial: Trial) -> None:
    """Remember what lies in the queues, let it be done, and put it back."""
    trial.begin(workers=2)
    trial.load.start(rate=60, ms=(50, 200))
    resurrected = 0
    for _ in range(30 if trial.is_long else 5):
        snapshot = trial.wait(lambda: _messages(trial), "message in a queue")
        _wait_for_ends(trial, 40)
        trial.fault("older state restored")
        snapshot.restore()
        resurrected += len(snapshot.messages)
    trial.drain()
    trial.figure("resurrected", resurrected)
    twice = {line["job"] for line in trial.executions() if line["e"] == "end" and line["claim"] > 1}
    trial.expect(not twice, f"{len(twice)} jobs were done again because their message came back")


def _messages(trial: Trial) -> messages.Snapshot | None:
    snapshot = messages.Snapshot(trial.broker_url)
    return snapshot if snapshot.messages else None


@row(
    "F13", "no packet passes between one worker and the broker, in one direction, then the other (iptables)", "its jobs finish",
    brokers=MESSAGES, figures=("long_jobs", "rescued_of_them", "executed_twice", "refused_claims"),
)  # fmt: skip
def cut_from_broker(trial: Trial) -> None:
    """Cut one of two workers off while it has long jobs in hand."""
    place = urlsplit(trial.broker_url)
    assert place.port is not None
    proxy = Proxy(place.port)
    trial.stack.callback(proxy.close)
    through = place._replace(netloc=place.netloc.replace(f":{place.port}", f":{proxy.port}")).geturl()
    trial.start_worker(GREENROOM_BROKER_URL=through)
    trial.begin(workers=1)
    trial.wait_for_workers(2)
    trial.load.start(rate=30, users=["user0", "user1"], ms=(20, 100))
    silence = 3 * float(SETTINGS["LEASE_SECONDS"])
    jobs = []
    for number in range(6 if trial.is_long else 2):
        jobs += [trial.load.submit("user2", {"ms": int(silence * 1000), "deaf": True}) for _ in range(4)]
        trial.wait(partial(_have_begun, trial, list(jobs)), "start of the long jobs")
        with Dropped(proxy.port, to_port=number % 2 == 0, from_port=number % 2 == 1):
            trial.fault("packets dropped")
            time.sleep(silence)
        trial.heal("packets")
    trial.drain(60)
    ends = {line["job"] for line in trial.executions() if line["e"] == "end"}
    again = [job for job in jobs if trial.count(f"SELECT claim_no FROM jobs WHERE id = '{job}'") > 1]
    trial.figure("long_jobs", len(jobs))
    trial.figure("rescued_of_them", len(again))
    trial.expect(ends >= set(jobs), "a job that ran did not finish")
    trial.expect(not again, f"{len(again)} jobs were begun again although their worker could reach the database")


def _have_begun(trial: Trial, jobs: list[str]) -> bool:
    return {line["job"] for line in trial.executions() if line["e"] == "start"} >= set(jobs)


@row(
    "F15b", "the broker's disk is full (RabbitMQ's alarm)", "2xx goes on, nobody hangs", brokers=RABBITMQ,
    figures=("accepted_during", "rejected_submits", "drained_in"),
)  # fmt: skip
def alarm(trial: Trial) -> None:
    """Raise the alarm for six seconds."""
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(20, 100))
    _wait_for_ends(trial, 40)
    trial.fault("disk alarm")
    before = trial.load.answers
    trial.tell_broker("alarm")
    time.sleep(60.0 if trial.is_long else 6.0)
    trial.figure("accepted_during", trial.load.answers - before)
    trial.tell_broker("calm")
    trial.heal("disk alarm")
    _wait_for_ends(trial, 40)
    trial.figure("drained_in", trial.drain(60))
    trial.figure("rejected_submits", sum(trial.load.errors.values()))
    trial.expect(not trial.load.errors, f"callers noticed the broker's alarm: {trial.load.errors}")


@row(
    "F16", "every message comes three times, to whoever consumes", "one claim wins", brokers=MESSAGES,
    figures=("tripled", "refused_claims", "claims"),
)  # fmt: skip
def thrice(trial: Trial) -> None:
    """Publish all of it three times."""
    trial.begin(workers=3, FAULTS_PUBLISHING="thrice", GREENROOM_RESEND_SECONDS=_LATER)
    trial.load.start(rate=40, ms=(5, 50))
    for _ in range(5):
        trial.fault("messages tripled")
        _wait_for_ends(trial, 2_000 if trial.is_long else 30)
    trial.drain()
    tripled = _said(trial, "tripled")
    trial.figure("tripled", tripled)
    trial.expect(tripled > 0, "no message was sent three times")


@row(
    "F17", "messages come backwards, and those of earlier attempts come again", "an old attempt is refused", brokers=MESSAGES,
    figures=("replayed", "refused_claims"),
)  # fmt: skip
def disorder(trial: Trial) -> None:
    """Let every job fail twice, so that there are old messages of its own to come back."""
    trial.begin(workers=2, FAULTS_PUBLISHING="disorder", GREENROOM_RESEND_SECONDS=_LATER)
    trial.load.start(rate=30, ms=(5, 50), fails=2)
    for _ in range(5):
        trial.fault("messages out of order")
        _wait_for_ends(trial, 2_000 if trial.is_long else 30)
    trial.drain()
    replayed = _said(trial, "replayed")
    trial.figure("replayed", replayed)
    trial.expect(replayed > 0, "no message of old was sent again")


def _said(trial: Trial, event: str) -> int:
    """Count the messages that processes say they have sent otherwise than they should."""
    return sum(line["messages"] for line in trial.executions() if line["e"] == event)


def _wait_for_ends(trial: Trial, more: int) -> None:
    wanted = _ends(trial) + more
    trial.wait(lambda: _ends(trial) >= wanted, f"{more} further jobs done", seconds=90)


def _ends(trial: Trial) -> int:
    return sum(line["e"] == "end" for line in trial.executions())
