import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from persistence.attempts import Ending
from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, ECHO, Stage, items, submit


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem of this kind, and give it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    found: dict[str, Any] = answer.json()
    assert (found["code"], found["status"]) == (code, status)
    return found


def test_a_job_is_accepted_and_can_be_read(greenroom: Served) -> None:
    """202 with Location, the job as it was accepted and its position; what was accepted is there."""
    ann = greenroom.user("ann")
    answer = ann.post("/jobs", json={"type": ADD, "payload": {"a": 1}, "priority": "high", "tags": ["blue"]})

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["status"], job["position"], job["waiting_for"], job["priority"]) == ("queued", 1, "worker", 10)
    assert (job["payload"], job["result"], job["max_attempts"], job["tags"]) == ({"a": 1, "b": 0}, None, 2, ["blue"])
    assert (job["tenant"], job["run"], job["files"], job["attempt"]) == ("acme", None, [], 0)
    assert ann.get(f"/jobs/{job['id']}").json() == job


def test_positions_are_one_s_own(greenroom: Served) -> None:
    """Each job's position counts the better and older ones of its user, and nobody else's."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    submit(bob)

    positions = [submit(ann, priority=priority)["position"] for priority in ("normal", 5, "low", 10)]

    assert positions == [1, 2, 3, 1]
    assert [job["position"] for job in items(ann, "/jobs")] == [1, 4, 3, 2]


def test_an_idempotency_key_makes_one_job(greenroom: Served) -> None:
    """The same key and body, however written, give the same job; another body 422; another user a job of his own."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    key = {"Idempotency-Key": "order-1"}
    first = ann.post("/jobs", json={"type": ECHO, "payload": {"a": 1, "b": 2}, "priority": "low"}, headers=key)
    again = ann.post("/jobs", json={"priority": 0, "payload": {"b": 2, "a": 1}, "type": ECHO}, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert again.headers["location"] == first.headers["location"]
    other = ann.post("/jobs", json={"type": ECHO, "payload": {"a": 2}}, headers=key)
    problem(other, 422, "IDEMPOTENCY_MISMATCH")
    theirs = bob.post("/jobs", json={"type": ECHO, "payload": {"a": 1, "b": 2}, "priority": "low"}, headers=key)
    assert theirs.json()["id"] != first.json()["id"]
    assert len(items(ann, "/jobs")) == 1


def test_a_race_with_one_key_makes_one_job(greenroom: Served) -> None:
    """Of many requests with one key at the same moment all get the same job, and the user's limit counts one."""
    ann = greenroom.user("ann", tier="free")
    start = threading.Barrier(20)

    def press(_: int) -> tuple[int, str]:
        start.wait()
        answer = ann.post("/jobs", json={"type": ECHO, "payload": {}}, headers={"Idempotency-Key": "one"})
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(press, range(20)))

    assert len(answers) == 1
    assert len(items(ann, "/jobs")) == 1


def test_the_limit_of_unfinished_jobs_is_exact(greenroom: Served) -> None:
    """Of 50 submissions of a free user at once one is accepted and 49 get 429 with Retry-After; a cancel makes room."""
    ann = greenroom.user("ann", tier="free")
    start = threading.Barrier(50)

    def press(_: int) -> httpx.Response:
        start.wait()
        return ann.post("/jobs", json={"type": ECHO, "payload": {}})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(press, range(50)))

    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(refused) == 49
    for answer in refused:
        assert problem(answer, 429, "CONCURRENT_JOB_LIMIT")["limit"] == 1
        assert int(answer.headers["retry-after"]) > 0
    (job,) = items(ann, "/jobs")
    assert ann.delete(f"/jobs/{job['id']}").status_code == 200
    submit(ann)


def test_a_payload_has_the_tier_s_size(greenroom: Served) -> None:
    """A payload above the tier's limit is refused with the limit named; one at the limit is taken."""
    ann = greenroom.user("ann", tier="free")
    room = 65536 - len('{"text":""}')

    def ask(size: int) -> httpx.Response:
        body = f'{{"type":"{ECHO}","payload":{{"text":"{"x" * size}"}}}}'
        return ann.post("/jobs", content=body, headers={"content-type": "application/json"})

    assert problem(ask(room + 1), 413, "PAYLOAD_TOO_LARGE")["limit"] == 65536
    assert items(ann, "/jobs") == []
    assert ask(room).status_code == 202


def test_lists_are_filtered_and_paged(greenroom: Served) -> None:
    """Each filter shows its jobs, newest first and complete over all pages; a run that does not exist has none."""
    ann = greenroom.user("ann")
    made = [submit(ann, {"a": n}, type=ADD if n % 2 else ECHO, tags=["red"] if n < 3 else []) for n in range(7)]
    newest = [job["id"] for job in reversed(made)]
    Stage(greenroom.database).take()

    def listed(**words: Any) -> list[str]:
        return [job["id"] for job in items(ann, "/jobs", limit=2, **words)]

    assert listed() == newest
    assert listed(type=ADD) == newest[1::2]
    assert listed(tag="red") == newest[4:]
    assert listed(status="processing") == newest[6:]
    assert listed(status="queued", tag="red") == newest[4:6]
    assert listed(run="01a203d5-8286-74ac-aa6c-0383f8d224f9") == []


def test_a_cursor_is_its_caller_s(greenroom: Served) -> None:
    """A cursor that another user was given is refused, as is nonsense."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    for client in (ann, bob):
        submit(client)
        submit(client)
    cursor = ann.get("/jobs", params={"limit": 1}).json()["next_cursor"]

    problem(bob.get("/jobs", params={"cursor": cursor}), 400, "VALIDATION")
    problem(ann.get("/jobs", params={"cursor": cursor[:-6]}), 400, "VALIDATION")
    assert len(ann.get("/jobs", params={"cursor": cursor}).json()["items"]) == 1


def test_others_see_nothing(greenroom: Served) -> None:
    """A stranger and a colleague get for each address of a job the bytes of nonsense; the operator sees it."""
    ann, colleague, stranger = greenroom.user("ann"), greenroom.user("abe"), greenroom.user("bob", tenant="other")
    job = submit(ann)["id"]
    Stage(greenroom.database).save_file(job, "a.txt", b"a", "text/plain")
    nothing = "01a203d5-8286-74ac-aa6c-0383f8d224f9"

    for client in (colleague, stranger):
        assert items(client, "/jobs") == []
        for path in ("", "/history", "/attempts", "/events", "/files/a.txt", "?wait=1"):
            theirs, nonsense = client.get(f"/jobs/{job}{path}"), client.get(f"/jobs/{nothing}{path}")
            assert (theirs.status_code, theirs.content) == (404, nonsense.content)
        assert client.delete(f"/jobs/{job}").content == client.delete(f"/jobs/{nothing}").content
    assert greenroom.admin.get(f"/jobs/{job}/files/a.txt").content == b"a"
    assert [found["id"] for found in items(greenroom.admin, "/jobs")] == [job]


def test_wait_answers_when_the_job_has_finished(greenroom: Served) -> None:
    """A waiting request is answered as soon as the job has finished, and with the result."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    taken = stage.take_one()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ann.get, f"/jobs/{job}", params={"wait": 15})
        stage.complete(taken, "[1]")
        answer = waiting.result().json()

    assert (answer["status"], answer["result"]) == ("completed", [1])
    assert ann.get(f"/jobs/{job}", params={"wait": 15}).elapsed.total_seconds() < 5


def test_wait_gives_up_in_time(greenroom: Served) -> None:
    """When the time is over the job is shown as it is."""
    ann = greenroom.user("ann")
    answer = ann.get(f"/jobs/{submit(ann)['id']}", params={"wait": 0.2})

    assert answer.json()["status"] == "queued"
    assert answer.elapsed.total_seconds() >= 0.2


def test_a_job_is_cancelled_at_once_and_for_good(greenroom: Served) -> None:
    """Cancelled while queued or processing; again 200; a late result is refused; a finished job is 409."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    working, waiting = submit(ann)["id"], submit(ann)["id"]
    taken = stage.take_one()

    for job in (working, waiting, working):
        answer = ann.delete(f"/jobs/{job}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["finished_at"] is not None

    assert not stage.finish(taken, result="1")
    assert ann.get(f"/jobs/{working}").json()["result"] is None
    done = submit(ann)["id"]
    stage.complete(stage.take_one())
    problem(ann.delete(f"/jobs/{done}"), 409, "JOB_FINISHED")


def test_history_and_attempts_tell_all(greenroom: Served) -> None:
    """Every transition and one record an attempt, with errors, worker and result, page by page."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    error = '{"type":"OSError","message":"no","retryable":true,"attempt":1}'
    stage.finish(stage.take_one(), Ending.RETRY, error=error)
    stage.complete(stage.take_one(), '{"ok":true}')

    history = items(ann, f"/jobs/{job}/history", limit=2)
    attempts = items(ann, f"/jobs/{job}/attempts", limit=1)

    steps = [(None, "queued"), ("queued", "processing"), ("processing", "queued")]
    steps += [("queued", "processing"), ("processing", "completed")]
    assert [(step["from"], step["to"]) for step in history] == steps
    assert set(history[0]) == {"from", "to", "attempt", "at", "worker", "reason"}
    assert [(one["attempt"], one["status"], one["result"]) for one in attempts] == [
        (1, "failed", None),
        (2, "completed", {"ok": True}),
    ]
    assert attempts[0]["error"]["message"] == "no"
    assert {one["worker"] for one in attempts} == {stage.worker}
    assert all(one["started_at"] <= one["finished_at"] for one in attempts)


def test_dependants_follow_their_parents(greenroom: Served) -> None:
    """A job waits for its parents, is let go at once when they are done already, and goes with a cancelled one."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    done = submit(ann)["id"]
    stage.complete(stage.take_one())
    parent = submit(ann, priority="low")["id"]

    free, bound = submit(ann, depends_on=[done])["id"], submit(ann, depends_on=[parent, done])
    assert bound["waiting_for"] == "dependency"
    assert stage.take_one().id == free
    ann.delete(f"/jobs/{parent}")

    assert ann.get(f"/jobs/{bound['id']}").json()["status"] == "cancelled"
    assert items(ann, f"/jobs/{bound['id']}/history")[-1]["reason"] == "dependency failed"


def test_a_bulk_is_accepted_in_order(greenroom: Served) -> None:
    """All jobs of a bulk are there with their positions, in the order in which they were given."""
    ann = greenroom.user("ann")
    jobs = [{"type": ADD, "payload": {"a": n}, "priority": n % 2 * 10} for n in range(6)]
    answer = ann.post("/jobs/bulk", json={"jobs": jobs})

    assert answer.status_code == 202
    receipts = answer.json()["jobs"]
    assert [receipt["position"] for receipt in receipts] == [4, 1, 5, 2, 6, 3]
    assert {receipt["status"] for receipt in receipts} == {"queued"}
    listed = {job["id"]: job for job in items(ann, "/jobs")}
    assert [listed[receipt["id"]]["payload"]["a"] for receipt in receipts] == list(range(6))


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"type": "tests.nobody", "payload": {}}, "jobs[2].type"),
        ({"type": ADD, "payload": {"a": "x"}}, "jobs[2].payload.a"),
        ({"type": ECHO, "payload": {}, "priority": 11}, "jobs[2].priority"),
    ],
)
def test_a_bulk_is_all_or_none(greenroom: Served, bad: dict[str, Any], field: str) -> None:
    """One bad job refuses the whole bulk and is named."""
    ann = greenroom.user("ann")
    good = {"type": ECHO, "payload": {}}

    answer = ann.post("/jobs/bulk", json={"jobs": [good, good, bad, good]})

    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert items(ann, "/jobs") == []


def test_a_bulk_has_limits(greenroom: Served) -> None:
    """A bulk that the tier has no room for is refused whole, as is one of more than 10,000 jobs or none."""
    ann = greenroom.user("ann")
    job = {"type": ECHO, "payload": {}}

    problem(ann.post("/jobs/bulk", json={"jobs": [job] * 101}), 429, "CONCURRENT_JOB_LIMIT")
    assert problem(ann.post("/jobs/bulk", json={"jobs": [job] * 10001}), 400, "VALIDATION")["limit"] == 10000
    problem(ann.post("/jobs/bulk", json={"jobs": []}), 400, "VALIDATION")
    keyed = ann.post("/jobs/bulk", json={"jobs": [job]}, headers={"Idempotency-Key": "one"})
    problem(keyed, 400, "VALIDATION")
    assert items(ann, "/jobs") == []
