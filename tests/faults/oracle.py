"""The oracle: judges a run from outside, and imports nothing of the product.

It reads the database with plain SQL, the log of what the API answered, the log of what was really executed and the log of
the faults, and accounts for every job that was answered with 2xx. It prints its judgement as one JSON object.
"""

import argparse
import fnmatch
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.evidence import Evidence, Row
from tests.faults.recovery import recovery

FINAL = {"completed", "failed", "cancelled"}
LEGAL = {
    (None, "queued"), ("queued", "processing"), ("queued", "cancelled"), ("processing", "queued"), ("failed", "queued"),
    ("processing", "completed"), ("processing", "failed"), ("processing", "cancelled"),
}  # fmt: skip
# A retry and a rescue cost an attempt; every other way back to the queue gives it back.
COSTS = {"retry", "worker lost"}
MOST_EXAMPLES = 20
PRODUCT = {"persistence", "middleware", "actors", "api"}


class Judgement:
    """Violations by kind, with examples, and figures."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []
        self.figures: dict[str, Any] = {}

    def against(self, kind: str, words: str) -> None:
        """Note a violation."""
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_EXAMPLES:
            self.examples.append(f"{kind}: {words}")


def judge(evidence: Evidence) -> Judgement:
    """Account for everything."""
    found = Judgement()
    # Where nothing was seen, nothing can be found.
    for name, seen in (("2xx", evidence.answers), ("execution", evidence.executions), ("transition", evidence.steps)):
        if not seen:
            found.against("nothing seen", f"there was no {name} at all")
    for check in (_answers, _keys, _trails, _commits, _executions, _counters, _limits, _overlaps, _letters):
        check(evidence, found)
    events = Counter(line["e"] for line in evidence.executions)
    found.figures |= {
        "recovery": recovery(evidence),
        "jobs": len({answer["id"] for answer in evidence.answers}),
        "faults": sum(1 for fault in evidence.faults if fault["e"] == "fault") + events["failpoint"],
        "lost": found.counts["lost"],
        "unfinished": found.counts["unfinished"],
        "committed_twice": found.counts["committed twice"],
        "claims": sum(1 for step in evidence.steps if step["to_status"] == "processing"),
        "events": {name: events[name] for name in sorted(events) if name not in {"start", "end", "stop"}},
        "refused_outcomes": events["refused"],
        "refused_claims": events["claim_refused"],
        "lease_lost": events["lease_lost"],
        "rescued": sum(1 for step in evidence.steps if step["reason"] == "worker lost"),
    }
    return found


def _answers(evidence: Evidence, found: Judgement) -> None:
    """A1 and A7: every job that was answered with 2xx is there, is its caller's, says what was asked, and has ended."""
    # Each answer, not each id: two requests that were given one id are one job too few.
    for answer in {(answer["id"], answer["token"], answer["user"]): answer for answer in evidence.answers}.values():
        job = evidence.jobs.get(answer["id"])
        if job is None:
            found.against("lost", f"{answer['id']} was accepted and is not there")
            continue
        user = evidence.users[str(job["user_id"])]
        if (user["name"], user["tenant"]) != (answer["user"], answer["tenant"]):
            found.against("tenant", f"{answer['id']} of {answer['user']} belongs to {user['name']} of {user['tenant']}")
        if json.loads(job["payload"]).get("token") != answer["token"]:
            found.against("payload", f"{answer['id']} is not what was asked for")
    for id, job in evidence.jobs.items():
        if job["status"] not in FINAL:
            found.against("unfinished", f"{id} is {job['status']}, blocked by {job['blocked_by']}, slot {job['slot']}")
        elif job["slot"]:
            found.against("slot kept", f"{id} is {job['status']} and holds a slot")


def _keys(evidence: Evidence, found: Judgement) -> None:
    """A6: one job for each user's idempotency key, and the same answer every time."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for answer in evidence.answers:
        if answer["key"]:
            ids[answer["user"], answer["key"]].add(answer["id"])
    for (user, key), answered in ids.items():
        if len(answered) > 1:
            found.against("idempotency", f"{user} got {sorted(answered)} for the key {key}")
    tokens = Counter(json.loads(job["payload"]).get("token") for job in evidence.jobs.values())
    for token, count in tokens.items():
        if token is not None and count > 1:
            found.against("idempotency", f"{count} jobs were made of the one request {token}")
    found.figures["duplicates"] = found.counts["idempotency"]


def _trails(evidence: Evidence, found: Judgement) -> None:
    """A4 and A5: no gap, no illegal step, claim numbers that rise by one, and the row is what the trail leads to."""
    for id in evidence.trails.keys() - evidence.jobs.keys():
        found.against("lost", f"{id} has a trail and is not there")
    for id, job in evidence.jobs.items():
        trail = sorted(evidence.trails.get(id, ()), key=lambda step: step["seq"])
        if [step["seq"] for step in trail] != list(range(1, job["seq"] + 1)):
            found.against("audit gap", f"{id} counts {job['seq']} steps and has {[step['seq'] for step in trail]}")
            continue
        claim, attempt = 0, 0
        status: str | None = None
        back: str | None = None
        worker: str | None = None
        for step in trail:
            move = (step["from_status"], step["to_status"])
            if move not in LEGAL or move[0] != status:
                found.against("illegal transition", f"{id}: {move} at {status}")
            if move[1] == "processing":
                claim += 1
                attempt = 1 if back == "failed" or attempt == 0 else attempt + (back in COSTS)
                if step["attempt"] != attempt:
                    found.against("attempts", f"{id}: claim {claim} is attempt {step['attempt']} and not {attempt} ({back})")
                worker = step["worker_id"]
            elif move[0] == "processing" and step["worker_id"] != worker:
                found.against("fence", f"{id}: claimed by {worker}, {move[1]} by {step['worker_id']}")
            if step["claim_no"] != claim:
                found.against("fence", f"{id}: step {step['seq']} has claim {step['claim_no']} and not {claim}")
            if move[1] == "queued":
                back = "failed" if move[0] == "failed" else step["reason"]
            status = move[1]
        if (job["status"], job["claim_no"]) != (status, claim):
            found.against("audit gap", f"{id} is {job['status']} at claim {job['claim_no']}, its trail {status} at {claim}")
        if job["attempt"] > job["max_attempts"]:
            found.against("attempts", f"{id} has had {job['attempt']} of {job['max_attempts']} attempts")


def _commits(evidence: Evidence, found: Judgement) -> None:
    """A2: one result, by the claim that the row names, with what the attempt committed along with it, once."""
    effects: dict[str, list[int]] = defaultdict(list)
    for effect in evidence.effects:
        effects[str(effect["job_id"])].append(effect["claim_no"])
    for id, job in evidence.jobs.items():
        completions = sum(step["to_status"] == "completed" for step in evidence.trails.get(id, ()))
        if completions > 1 or len(effects[id]) > 1:
            found.against("committed twice", f"{id}: {completions} completions, effects of claims {effects[id]}")
        if not job["type"].startswith("faults."):
            continue
        wanted = [job["claim_no"]] if job["status"] == "completed" else []
        if len(effects[id]) <= 1 and effects[id] != wanted:
            found.against("half a commit", f"{id} is {job['status']} at claim {wanted}, its effects are of {effects[id]}")
        if job["status"] == "completed" and json.loads(job["result"])["claim"] != job["claim_no"]:
            found.against("fence", f"{id} is at claim {job['claim_no']} with the result of {job['result']}")


def _executions(evidence: Evidence, found: Judgement) -> None:
    """Nothing is begun without a committed claim, no claim is begun twice, and nothing completes that was not done."""
    claimed = {(str(step["job_id"]), step["claim_no"]) for step in evidence.steps if step["to_status"] == "processing"}
    begun = Counter((line["job"], line["claim"]) for line in evidence.executions if line["e"] == "start")
    for claim, times in begun.items():
        if times > 1:
            found.against("claim begun twice", f"{claim}: {times} times")
        if claim not in claimed:
            found.against("begun without a claim", str(claim))
    done = {(line["job"], line["claim"]) for line in evidence.executions if line["e"] == "end"}
    for id, job in evidence.jobs.items():
        if job["type"].startswith("faults.") and job["status"] == "completed" and (id, job["claim_no"]) not in done:
            found.against("never executed", f"{id} is completed at claim {job['claim_no']}, which nobody has done")
    ends = Counter(line["job"] for line in evidence.executions if line["e"] == "end")
    found.figures["executed_twice"] = sum(times > 1 for times in ends.values())
    found.figures["executions"] = sum(ends.values())


def _counters(evidence: Evidence, found: Judgement) -> None:
    """A3: the counters that guard the limits are what the rows say."""
    unfinished: Counter[str] = Counter()
    held: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    limited: Counter[str] = Counter()
    for job in evidence.jobs.values():
        owner, waits = str(job["user_id"]), job["status"] == "queued"
        unfinished[owner] += job["status"] not in FINAL
        held[owner] += bool(job["slot"])
        ready[owner] += waits and not job["slot"] and job["blocked_by"] is None
        limited[job["slot_limit"]] += bool(job["slot"])
    for id, user in evidence.users.items():
        counted = (unfinished[id], held[id], ready[id])
        if counted != (user["unfinished"], user["held"], user["ready"]):
            said = (user["unfinished"], user["held"], user["ready"])
            found.against("counters", f"{user['name']} counts unfinished, held, ready {said}, and has {counted}")
    for known in evidence.limits:
        if known["held"] != limited[known["name"]]:
            found.against("counters", f"{known['name']} counts {known['held']} and has {limited[known['name']]}")


def _limits(evidence: Evidence, found: Judgement) -> None:
    """A3: replayed in the order in which it was written, the trail never has more attempts at a time than a limit allows.

    A user's steps are numbered under the lock of the user's row, so their numbers are their order, whatever the clocks say.
    """
    most: Counter[str] = Counter()
    at_work: Counter[str] = Counter()
    limits = {id: user["max_running"] for id, user in evidence.users.items()}
    limits |= {limit["name"]: limit["max_held"] for limit in evidence.limits}
    for step in evidence.steps:
        job = evidence.jobs.get(str(step["job_id"]))
        if job is None:
            continue
        change = (step["to_status"] == "processing") - (step["from_status"] == "processing")
        names = [limit["name"] for limit in evidence.limits if fnmatch.fnmatchcase(job["type"], limit["name"])]
        for name in (str(step["user_id"]), *names):
            at_work[name] += change
            most[name] = max(most[name], at_work[name])
            if change > 0 and at_work[name] > limits[name]:
                found.against("over the limit", f"{name} has {at_work[name]} of {limits[name]} at step {step['id']}")
    found.figures["most_at_work"] = max((most[id] for id in evidence.users), default=0)
    found.figures["over_the_limit"] = found.counts["over the limit"]


def _overlaps(evidence: Evidence, found: Judgement) -> None:
    """A3, from the other side: what was really executed at a time, leaving out attempts that had lost their claim."""
    lost = {(str(step["job_id"]), step["claim_no"]) for step in evidence.steps if step["reason"] == "worker lost"}
    begun: dict[tuple[str, int], Row] = {}
    moments: list[tuple[float, int, str]] = []
    for line in evidence.executions:
        claim = (line.get("job", ""), line.get("claim", 0))
        if line["e"] == "start" and claim not in lost:
            begun[claim] = line
        elif line["e"] in {"end", "stop"} and claim in begun:
            start = begun.pop(claim)
            moments += [(start["t"], 1, line["user"]), (line["t"], -1, line["user"])]
    at_work: Counter[str] = Counter()
    for _, change, user in sorted(moments):
        at_work[user] += change
        limit = evidence.users[user]["max_running"]
        if change > 0 and at_work[user] > limit:
            found.against("over the limit", f"{user} really ran {at_work[user]} of {limit}")


def _letters(evidence: Evidence, found: Judgement) -> None:
    """Each failure for good has one dead letter."""
    letters = Counter((str(letter["job_id"]), letter["claim_no"]) for letter in evidence.letters)
    failures = Counter((str(step["job_id"]), step["claim_no"]) for step in evidence.steps if step["to_status"] == "failed")
    for key in letters.keys() | failures.keys():
        if letters[key] != 1 or failures[key] != 1:
            found.against("dead letters", f"{key}: failed {failures[key]} times, {letters[key]} letters")
    found.figures["dead_letters"] = sum(letters.values())


def main(arguments: Iterable[str] | None = None) -> int:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True)
    for name in ("client", "executions", "faults"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    asked = parser.parse_args(None if arguments is None else list(arguments))
    if known := PRODUCT & sys.modules.keys():
        raise SystemExit(f"the oracle knows {known}: a judge must not be of the party")
    found = judge(Evidence(asked.database, asked.client, asked.executions, asked.faults))
    print(json.dumps({"violations": dict(found.counts), "examples": found.examples, "figures": found.figures}))  # noqa: T201
    return 1 if found.counts else 0


if __name__ == "__main__":
    raise SystemExit(main())
