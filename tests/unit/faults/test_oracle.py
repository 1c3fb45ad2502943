"""The oracle finds what it is there for: each kind of corruption, planted into evidence in which all is well."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.evidence import Evidence
from tests.faults.oracle import judge

ALICE, WORKER = "u1", "w1"


def evidence() -> Evidence:
    """Make the evidence of two jobs: one was retried and completed, the other one failed for good."""
    found = Evidence.__new__(Evidence)
    found.users = {
        ALICE: {"id": ALICE, "name": "alice", "tenant": "acme", "unfinished": 0, "held": 0, "ready": 0, "max_running": 1}
    }
    found.limits = [{"name": "faults.*", "max_held": 5, "held": 0}]
    found.jobs = {id: job(id, status, claims) for id, status, claims in (("a", "completed", 2), ("b", "failed", 1))}
    ways: dict[str, list[tuple[str | None, str, int, int, str | None]]] = {
        "a": [(None, "queued", 0, 0, None), ("queued", "processing", 1, 1, None), ("processing", "queued", 1, 1, "retry"),
              ("queued", "processing", 2, 2, None), ("processing", "completed", 2, 2, None)],
        "b": [(None, "queued", 0, 0, None), ("queued", "processing", 1, 1, None), ("processing", "failed", 1, 1, None)],
    }  # fmt: skip
    found.steps = []
    for id, way in ways.items():
        for before, to, attempt, claim, reason in way:
            seq = sum(step["job_id"] == id for step in found.steps) + 1
            found.steps.append(
                {"id": len(found.steps), "job_id": id, "user_id": ALICE, "seq": seq, "from_status": before, "to_status": to,
                 "attempt": attempt, "claim_no": claim, "worker_id": WORKER, "reason": reason}
            )  # fmt: skip
    found.trails = {id: [step for step in found.steps if step["job_id"] == id] for id in ways}
    found.letters = [{"job_id": "b", "claim_no": 1}]
    found.effects = [{"job_id": "a", "claim_no": 2}]
    found.answers = [
        {"id": id, "user": "alice", "tenant": "acme", "token": f"token-{id}", "key": f"key-{id}", "t": 0.0} for id in ways
    ]
    found.executions = [
        {"e": event, "job": id, "claim": claim, "user": ALICE, "pid": 1, "t": float(moment)}
        for moment, (event, id, claim) in enumerate(
            (("start", "a", 1), ("stop", "a", 1), ("start", "a", 2), ("end", "a", 2), ("start", "b", 1), ("stop", "b", 1))
        )
    ]
    found.faults = [{"e": "fault", "t": 0.5, "what": "retry", "pid": 0}]
    return found


def job(id: str, status: str, claims: int) -> dict[str, Any]:
    """Make a job's row."""
    return {
        "id": id, "user_id": ALICE, "type": "faults.work", "status": status, "blocked_by": None, "slot": False,
        "slot_limit": None, "seq": 1 + 2 * claims, "attempt": claims, "max_attempts": 3, "claim_no": claims,
        "result": json.dumps({"claim": claims}) if status == "completed" else None,
        "payload": json.dumps({"token": f"token-{id}"}), "idempotency_key": f"key-{id}",
    }  # fmt: skip


def test_nothing_is_found_where_all_is_well() -> None:
    """A retry and a failure are no violations."""
    found = judge(evidence())
    assert (dict(found.counts), found.figures["jobs"], found.figures["executions"]) == ({}, 2, 1)


PLANTED: dict[str, tuple[str, Callable[[Evidence], object]]] = {
    "a job is gone": ("lost", lambda e: e.jobs.pop("b")),
    "a job does not end": ("unfinished", lambda e: e.jobs["b"].update(status="queued")),
    "a slot is kept": ("slot kept", lambda e: e.jobs["b"].update(slot=True)),
    "a job is another tenant's": ("tenant", lambda e: e.users[ALICE].update(tenant="globex")),
    "a job is not what was asked for": ("payload", lambda e: e.jobs["b"].update(payload='{"token": "other"}')),
    "one key, two jobs": ("idempotency", lambda e: e.answers.append({**e.answers[0], "id": "b"})),
    "one request, two jobs": ("idempotency", lambda e: e.jobs["b"].update(payload=e.jobs["a"]["payload"])),
    "a step is missing": ("audit gap", lambda e: e.trails["a"].pop(2)),
    "a step is illegal": ("illegal transition", lambda e: e.trails["b"][2].update(from_status="queued")),
    "the row is not what the trail leads to": ("audit gap", lambda e: e.jobs["a"].update(status="cancelled", result=None)),
    "a claim number jumps": ("fence", lambda e: e.trails["a"][3].update(claim_no=3)),
    "another worker completes": ("fence", lambda e: e.trails["a"][4].update(worker_id="w2")),
    "an old claim's result": ("fence", lambda e: e.jobs["a"].update(result='{"claim": 1}')),
    "a retry costs nothing": ("attempts", lambda e: e.trails["a"][3].update(attempt=1)),
    "too many attempts": ("attempts", lambda e: e.jobs["a"].update(max_attempts=1)),
    "an effect comes twice": ("committed twice", lambda e: e.effects.append({"job_id": "a", "claim_no": 1})),
    "an effect is missing": ("half a commit", lambda e: e.effects.clear()),
    "a failed job has an effect": ("half a commit", lambda e: e.effects.append({"job_id": "b", "claim_no": 1})),
    "a claim is begun twice": ("claim begun twice", lambda e: e.executions.append(dict(e.executions[4]))),
    "work without a claim": ("begun without a claim", lambda e: e.executions.append({**e.executions[4], "claim": 9})),
    "one id, two requests": ("payload", lambda e: e.answers.insert(0, {**e.answers[0], "token": "other", "key": None})),
    "another worker fails it": ("fence", lambda e: e.trails["b"][2].update(worker_id="w2")),
    "a result that nobody worked out": ("never executed", lambda e: e.executions.pop(3)),
    "nobody has worked": ("nothing seen", lambda e: e.executions.clear()),
    "nobody was answered": ("nothing seen", lambda e: e.answers.clear()),
    "a counter is wrong": ("counters", lambda e: e.users[ALICE].update(held=1)),
    "a type's counter is wrong": ("counters", lambda e: e.limits[0].update(held=1)),
    "over a user's limit": ("over the limit", lambda e: e.steps.insert(2, e.steps[6])),
    "over a type's limit": ("over the limit", lambda e: e.limits[0].update(max_held=0)),
    "really over a limit": ("over the limit", lambda e: e.executions[4].update(t=2.5)),
    "a dead letter is missing": ("dead letters", lambda e: e.letters.clear()),
    "a dead letter too many": ("dead letters", lambda e: e.letters.append(e.letters[0])),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted: str) -> None:
    """Each corruption is called by its name."""
    kind, corrupt = PLANTED[planted]
    found = evidence()
    corrupt(found)
    assert judge(found).counts[kind] > 0
