import pytest

from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, ECHO, Stage, items, submit


def test_the_queue_is_counted_by_type_and_status(greenroom: Served) -> None:
    """A user sees the counts of own jobs, the operator those of all, and both the workers."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    stage = Stage(greenroom.database)
    for kind in (ECHO, ECHO, ADD):
        submit(ann, {"a": 1}, type=kind)
    submit(bob)
    stage.complete(stage.take_one())

    mine, all_jobs = ann.get("/queue").json(), greenroom.admin.get("/queue").json()

    nobody = dict.fromkeys(("queued", "processing", "completed", "failed", "cancelled"), 0)
    assert sum(mine["totals"].values()) == 3
    assert mine["by_type"][ADD] == {**nobody, "queued": 1}
    assert sum(all_jobs["totals"].values()) == 4
    assert all_jobs["totals"]["completed"] == 1
    assert (mine["paused"], mine["pauses"]) == (False, [])
    assert [worker["id"] for worker in mine["workers"]] == [stage.worker]
    assert (mine["workers"][0]["name"], all_jobs["workers"][0]["name"]) == (None, "worker")


def test_d7_nobody_without_a_key_sees_the_queue(greenroom: Served) -> None:
    """Without a key, or with a wrong one, the answer is 401 and tells nothing."""
    for stranger in (greenroom.client(), greenroom.client("gr_nobody_knows-this-one")):
        answer = stranger.get("/queue")
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert "totals" not in answer.text


def test_a_pause_stops_what_is_new(greenroom: Served) -> None:
    """While everything is paused nothing is taken and jobs say why; both verbs may be repeated."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]

    answers = [greenroom.admin.post("/queue/pause") for _ in range(2)]
    assert [(answer.status_code, answer.json()["paused"]) for answer in answers] == [(200, True)] * 2
    assert stage.take() == []
    assert ann.get(f"/jobs/{job}").json()["waiting_for"] == "paused"
    assert ann.get("/queue").json()["paused"]

    answers = [greenroom.admin.post("/queue/resume", json={}) for _ in range(2)]
    assert [(answer.status_code, answer.json()["paused"]) for answer in answers] == [(200, False)] * 2
    assert stage.take_one().id == job


@pytest.mark.parametrize("scope", [{"type": ECHO}, {"user": "ann"}, {"queue": "default"}, {"type": ECHO, "user": "ann"}])
def test_a_pause_has_a_scope(greenroom: Served, scope: dict[str, str]) -> None:
    """A type, a user by name or a queue is paused by itself, and what is outside goes on."""
    ann, bob, stage = greenroom.user("ann"), greenroom.user("bob"), Stage(greenroom.database)
    paused = submit(ann)["id"]
    outside = submit(bob, {"a": 1}, type=ADD)["id"]

    status = greenroom.admin.post("/queue/pause", json=scope).json()

    assert not status["paused"]
    assert len(status["pauses"]) == 1
    assert {taken.id for taken in stage.take(10)} == (set() if "queue" in scope else {outside})
    greenroom.admin.post("/queue/resume", json=scope)
    assert paused in {taken.id for taken in stage.take(10)}


def test_only_the_operator_pauses(greenroom: Served) -> None:
    """A user's key is refused, and nothing is paused; an unknown user is no scope."""
    ann = greenroom.user("ann")

    for verb in ("pause", "resume"):
        assert (ann.post(f"/queue/{verb}").status_code, ann.post(f"/queue/{verb}").json()["code"]) == (403, "FORBIDDEN")
        assert greenroom.admin.post(f"/queue/{verb}", json={"user": "nobody"}).status_code == 404
    assert not ann.get("/queue").json()["paused"]


def test_others_pauses_are_not_told(greenroom: Served) -> None:
    """A user learns of pauses that concern everybody or oneself, not of those of others."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    greenroom.admin.post("/queue/pause", json={"user": "ann"})

    assert len(ann.get("/queue").json()["pauses"]) == 1
    assert bob.get("/queue").json()["pauses"] == []


def test_job_types_are_described(greenroom: Served) -> None:
    """Each job type is listed with what a client needs to build a form for it."""
    types = {job_type["name"]: job_type for job_type in items(greenroom.user("ann"), "/job-types")}

    add = types[ADD]
    assert (add["description"], add["queue"], add["retry"]["max_attempts"]) == ("Add two numbers.", "default", 2)
    assert add["payload"]["$defs"]["Sum"]["required"] == ["a"]
    assert add["result"] == {"type": "integer"}
    assert add["limits"]["time_limit_seconds"] == 10
    assert {"documents.upload", "documents.extract", "documents.describe", "documents.convert"} < set(types)
