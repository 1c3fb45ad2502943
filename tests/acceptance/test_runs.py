"""Runs over HTTP: created whole or not at all, counted exactly, and paused, resumed and cancelled as one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from persistence.attempts import Ending
from persistence.dependencies import settle
from persistence.verify import verify
from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, ECHO, Stage, items


def start(client: httpx.Client, *jobs: dict[str, Any], **words: Any) -> dict[str, Any]:
    """Start a run that has to be accepted; each job is one of the echo type unless it says otherwise."""
    asked = [{"type": ECHO, "payload": {}} | job for job in jobs]
    answer = client.post("/runs", json={"name": "nightly", "jobs": asked, **words})
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}"
    return run


def progress(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    """Read a run's counts, those that are not 0."""
    found = client.get(f"/runs/{run['id']}").json()["progress"]
    return {name: value for name, value in found.items() if value}


def ask(client: httpx.Client, run: dict[str, Any], what: str) -> tuple[int, str]:
    """Ask something of a run; give the status and how the run stands, or the error's code."""
    answer = client.post(f"/runs/{run['id']}/{what}")
    body = answer.json()
    return answer.status_code, body["status"] if answer.status_code == 200 else body["code"]


def test_a_run_from_its_beginning_to_its_end(greenroom: Served) -> None:
    """What was asked is there, the counts follow each step, and its jobs say whose they are."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    config = {"definition": "d1", "seed": 7, "nested": [1, {"a": None}]}
    run = start(ann, {"priority": "low"}, {}, {"tags": ["x"]}, priority="high", config=config)

    assert (run["status"], run["name"], run["config"], run["on_failure"]) == ("pending", "nightly", config, "cancel")
    counts = {"total": 3, "queued": 3, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "percent": 0.0}
    assert run["progress"] == counts
    jobs = items(ann, "/jobs", run=run["id"])
    assert [job["priority"] for job in jobs] == [10, 10, 0]
    assert {job["run"] for job in jobs} == {run["id"]}
    assert items(ann, "/jobs", run=run["id"], tag="x") == [jobs[0]]

    first, second, third = stage.take(3)
    stage.complete(first)
    assert ann.get(f"/runs/{run['id']}").json()["status"] == "running"
    assert progress(ann, run) == {"total": 3, "processing": 2, "completed": 1, "percent": 33.3}
    stage.fail(second)
    stage.complete(third)

    ended = ann.get(f"/runs/{run['id']}").json()
    assert (ended["status"], ended["progress"]["percent"]) == ("completed", 100.0)
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]
    tasks = ann.get(f"/runs/{run['id']}/tasks", params={"limit": 2}).json()
    assert [task["id"] for task in tasks["items"]] == [third.id, second.id]
    assert tasks["next_cursor"] is None
    assert [found["id"] for found in items(ann, "/runs")] == [run["id"]]


def test_progress_by_model(greenroom: Served) -> None:
    """Jobs with tags of the form model:NAME are counted by model, and all by any tag."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, {"tags": ["model:a", "hard"]}, {"tags": ["model:a"]}, {"tags": ["model:b", "hard"]}, {})
    stage.complete(stage.take_one())

    by_model = ann.get(f"/runs/{run['id']}").json()["progress"]["by_model"]
    assert {model: (counts["total"], counts["completed"]) for model, counts in by_model.items()} == {"a": (2, 1), "b": (1, 0)}
    assert by_model["a"]["percent"] == 50.0
    all_of_it = ann.get(f"/runs/{run['id']}/progress").json()
    assert (all_of_it["progress"]["total"], set(all_of_it["by"])) == (4, {"model:a", "model:b", "hard"})
    assert ann.get(f"/runs/{run['id']}/progress", params={"by": "model"}).json()["by"] == by_model
    assert "by_model" not in start(ann, {})["progress"]


def test_a_run_of_ten_thousand(greenroom: Served) -> None:
    """10,000 jobs come in one request, all of them, and one more is too many."""
    ann = greenroom.user("ann", tier="enterprise")
    job = {"payload": {"n": 1}, "tags": ["model:a"]}
    run = start(ann, *[job] * 10_000)
    assert progress(ann, run)["queued"] == 10_000
    with greenroom.database.read() as session:
        assert verify(session) == []
    answer = ann.post("/runs", json={"name": "n", "jobs": [{"type": ECHO, "payload": {}}] * 10_001})
    assert (answer.status_code, answer.json()["limit"]) == (400, 10_000)


def test_an_idempotency_key_makes_one_run(greenroom: Served) -> None:
    """The same key and body, however written, give the same run, even at the same moment; another body gives 422."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    key = {"Idempotency-Key": "night-1"}
    jobs = [{"type": ECHO, "payload": {"a": 1, "b": 2}, "key": "first"}, {"type": ECHO, "payload": {}, "depends_on": ["first"]}]
    asked = {"name": "nightly", "priority": "low", "config": {"c": 1, "d": 2}, "jobs": jobs}
    together = threading.Barrier(5)

    def press(_: int) -> httpx.Response:
        together.wait()
        return ann.post("/runs", json=asked, headers=key)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(press, range(5)))
    first = jobs[0] | {"payload": {"b": 2, "a": 1}}
    rewritten = {"jobs": [first, jobs[1]], "config": {"d": 2, "c": 1}, "priority": 0, "name": "nightly"}
    answers.append(ann.post("/runs", json=rewritten, headers=key))

    assert {answer.status_code for answer in answers} == {202}
    assert len({(answer.json()["id"], answer.headers["location"]) for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count("true") == 5
    others: list[dict[str, Any]] = [{"name": "other"}, {"config": {}}, {"on_failure": "fail"}, {"jobs": jobs[:1]}]
    refused = [ann.post("/runs", json=asked | other, headers=key) for other in others]
    refused.append(ann.post("/jobs", json={"type": ECHO, "payload": {}}, headers=key))
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(422, "IDEMPOTENCY_MISMATCH")}
    assert ann.post("/runs", json=asked, headers={"Idempotency-Key": "a b"}).status_code == 400
    assert bob.post("/runs", json=asked, headers=key).json()["id"] != answers[0].json()["id"]
    assert (len(items(ann, "/runs")), len(items(ann, "/jobs"))) == (1, 2)


@pytest.mark.parametrize(
    ("jobs", "field"),
    [
        ([{"key": "a", "depends_on": ["a"]}], "depends_on"),
        ([{"key": "a", "depends_on": ["b"]}, {"key": "b", "depends_on": ["a"]}], "depends_on"),
        ([{"key": "a"}, {"depends_on": ["b"]}], "jobs[1].depends_on"),
        ([{"key": "a"}, {"key": "a"}], "jobs[1].key"),
        ([{}, {"type": "nobody.knows"}], "jobs[1].type"),
        ([{}, {"type": ADD, "payload": {"a": "x"}}], "jobs[1].payload.a"),
        ([{"tags": ["x\ny"]}], "jobs[0].tags[0]"),
        ([{"tags": ["x", "x\n"]}], "jobs[0].tags[1]"),
        ([], "jobs"),
    ],
)
def test_a_wrong_run_leaves_nothing(greenroom: Served, jobs: list[dict[str, Any]], field: str) -> None:
    """A circle, an unknown key or any other wrong job refuses all of the run with the place of the fault."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    asked = [{"type": ECHO, "payload": {}} | job for job in jobs]

    answer = ann.post("/runs", json={"name": "wrong", "jobs": asked})

    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field
    assert (stage.rows(), stage.rows("runs"), stage.rows("dependencies")) == (0, 0, 0)


@pytest.mark.parametrize(
    "words",
    [{"name": ""}, {"name": "x\n"}, {"name": "x" * 201}, {"on_failure": "shrug"}, {"priority": 11}, {"unknown": 1}, {"jobs": {}}],
)
def test_a_wrong_wish_is_refused(greenroom_on_sqlite: Served, words: dict[str, Any]) -> None:
    """What is said of the run itself is checked, too."""
    ann = greenroom_on_sqlite.user("ann")
    answer = ann.post("/runs", json={"name": "n", "jobs": [{"type": ECHO, "payload": {}}]} | words)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")


def test_limits_count_for_runs(greenroom: Served) -> None:
    """A run that the tier has no room for, or whose config is too large, is turned away whole."""
    ann, stage = greenroom.user("ann", tier="free"), Stage(greenroom.database)
    job = {"type": ECHO, "payload": {}}
    full = ann.post("/runs", json={"name": "n", "jobs": [job, job]})
    large = ann.post("/runs", json={"name": "n", "jobs": [job], "config": "x" * 70_000})
    assert (full.status_code, full.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert (large.status_code, large.json()["code"], large.json()["limit"]) == (413, "PAYLOAD_TOO_LARGE", 65_536)
    assert (stage.rows(), stage.rows("runs")) == (0, 0)


def test_dependencies_by_key(greenroom: Served) -> None:
    """A job waits for those that it names by their keys in the request, wherever they stand in it."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(
        ann,
        {"key": "sum", "depends_on": ["left", "right"], "tags": ["sum"]},
        {"key": "left"},
        {"key": "right"},
        {"depends_on": ["sum"]},
    )
    first, second = stage.take(4)
    assert items(ann, "/jobs", run=run["id"], tag="sum")[0]["waiting_for"] == "dependency"
    stage.complete(first)
    stage.complete(second)
    with greenroom.database.write() as session:
        settle(session)
    (third,) = stage.take(4)
    assert items(ann, "/jobs", run=run["id"], tag="sum")[0]["id"] == third.id


@pytest.mark.parametrize(("policy", "left"), [("fail", "failed"), ("cancel", "cancelled"), ("continue", "queued")])
def test_what_failure_means_for_the_rest(greenroom: Served, policy: str, left: str) -> None:
    """A run says what becomes of the jobs that wait for one that has failed."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, {"key": "a"}, {"depends_on": ["a"], "tags": ["child"]}, on_failure=policy)
    assert run["on_failure"] == policy
    stage.fail(stage.take_one())
    with greenroom.database.write() as session:
        settle(session)
    (child,) = items(ann, "/jobs", run=run["id"], tag="child")
    assert child["status"] == left
    assert (child["error"] or {}).get("type") == ("DependencyFailed" if policy == "fail" else None)


def test_pause_and_resume(greenroom: Served) -> None:
    """Nothing of a paused run starts, and the rest does; pause is for what is open, resume for what is paused."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, {}, {}, {})
    other = start(ann, {})
    assert ask(ann, run, "resume") == (409, "ILLEGAL_TRANSITION")
    assert ask(ann, run, "pause") == (200, "paused")
    assert ask(ann, run, "pause") == (409, "ILLEGAL_TRANSITION")
    (taken,) = stage.take(5)
    assert taken.run_id == other["id"]
    assert {job["waiting_for"] for job in items(ann, "/jobs", run=run["id"])} == {"paused"}
    assert ask(ann, run, "resume") == (200, "pending")
    taken = stage.take_one()
    assert ask(ann, run, "pause") == (200, "paused")
    stage.complete(taken)
    assert progress(ann, run) == {"total": 3, "queued": 2, "completed": 1, "percent": 33.3}
    assert ask(ann, run, "resume") == (200, "running")
    assert len(stage.take(5)) == 2


def test_cancel_keeps_what_is_completed(greenroom: Served) -> None:
    """Queued and processing jobs go, results stay; twice is once; a completed run is not cancelled, a cancelled one final."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, *[{}] * 4)
    done, failed, held = stage.take(3)
    stage.complete(done)
    stage.fail(failed)

    assert ask(ann, run, "cancel") == (200, "cancelled")
    assert ask(ann, run, "cancel") == (200, "cancelled")

    assert progress(ann, run) == {"total": 4, "completed": 1, "failed": 1, "cancelled": 2, "percent": 100.0}
    assert ann.get(f"/jobs/{done.id}").json()["result"] == "done"
    assert not stage.finish(held, result="1")
    assert [ask(ann, run, what)[0] for what in ("pause", "resume")] == [409, 409]
    (letter,) = items(ann, "/dead-letters")
    assert ann.post(f"/dead-letters/{letter['id']}/replay").status_code == 409
    assert ann.post("/dead-letters/replay").json()["replayed"] == 0
    completed = start(ann, {})
    stage.complete(stage.take_one())
    assert ask(ann, completed, "cancel") == (409, "ILLEGAL_TRANSITION")


def test_a_replay_opens_a_run(greenroom: Served) -> None:
    """A run with a replayed job goes on, and ends with what comes of it."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, {}, {})
    first, second = stage.take(2)
    assert stage.finish(first, Ending.RETRY)
    stage.fail(second)
    stage.complete(stage.take_one())
    assert ann.get(f"/runs/{run['id']}").json()["status"] == "completed"
    (letter,) = items(ann, "/dead-letters")
    assert ann.post(f"/dead-letters/{letter['id']}/replay").status_code == 200

    opened = ann.get(f"/runs/{run['id']}").json()
    assert (opened["status"], opened["finished_at"]) == ("running", None)
    stage.complete(stage.take_one())
    assert progress(ann, run) == {"total": 2, "completed": 2, "percent": 100.0}


def test_runs_are_one_s_own(greenroom: Served) -> None:
    """Nobody else sees a run or can do anything with it; an admin can."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    run = start(ann, {})
    assert [bob.get(f"/runs/{run['id']}{rest}").status_code for rest in ("", "/progress", "/tasks")] == [404] * 3
    assert [ask(bob, run, what)[0] for what in ("pause", "resume", "cancel")] == [404] * 3
    assert (items(bob, "/runs"), items(bob, "/jobs", run=run["id"])) == ([], [])
    assert [found["id"] for found in items(greenroom.admin, "/runs")] == [run["id"]]
    assert ask(greenroom.admin, run, "cancel") == (200, "cancelled")
