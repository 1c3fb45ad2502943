"""The archive over HTTP: a job that is archived is found wherever it was, and after its retention nowhere."""

from persistence import archive, prune
from tests.acceptance.served import Served
from tests.acceptance.stage import ECHO, Stage, items, submit


def archive_all(greenroom: Served) -> int:
    """Archive whatever has finished."""
    with greenroom.database.write() as session:
        return archive.archive(session, older_than_seconds=-1.0, most=100)


def test_d14_an_archived_job_stays_readable(greenroom: Served) -> None:
    """The job, its history, attempts and file, the lists and its run's progress and tasks are to the byte what they were."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = ann.post("/runs", json={"name": "old", "jobs": [{"type": ECHO, "payload": {}, "tags": ["model:a"]}]}).json()
    (in_run,) = items(ann, "/jobs", run=run["id"])
    stage.complete(stage.take_one())
    body = {"type": ECHO, "payload": {"a": 1}, "tags": ["x"]}
    alone = ann.post("/jobs", json=body, headers={"Idempotency-Key": "k"}).json()
    stage.save_file(alone["id"], "report.txt", b"what it says", "text/plain")
    stage.complete(stage.take_one())
    unfinished = submit(ann)
    paths = [f"/jobs/{job['id']}{more}" for job in (in_run, alone) for more in ("", "/history", "/attempts")]
    paths += [f"/jobs/{alone['id']}/files/report.txt", "/jobs", "/jobs?status=completed", "/jobs?tag=x", f"/jobs?run={run['id']}"]
    paths += [f"/runs/{run['id']}{more}" for more in ("", "/tasks", "/progress")]
    before = [(path, ann.get(path).status_code, ann.get(path).content) for path in paths]

    assert archive_all(greenroom) == 2

    assert [(path, ann.get(path).status_code, ann.get(path).content) for path in paths] == before
    assert {status for _, status, _ in before} == {200}
    again = ann.post("/jobs", json=body, headers={"Idempotency-Key": "k"}).json()
    assert again["id"] == alone["id"]
    assert unfinished["id"] in {job["id"] for job in items(ann, "/jobs")}


def test_d14_the_queue_counts_what_is_not_archived(greenroom: Served) -> None:
    """One's own counts and the operator's have the unfinished jobs and those that finished of late."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    submit(ann)
    submit(ann)
    stage.complete(stage.take_one())
    counts = [client.get("/queue").json() for client in (ann, greenroom.admin)]
    assert all("completed" in str(found) for found in counts)
    archive_all(greenroom)
    for client, before in zip((ann, greenroom.admin), counts, strict=True):
        after = client.get("/queue").json()
        assert after != before
        assert str(after).count("'queued': 1") == str(before).count("'queued': 1") > 0


def test_a_dead_letter_of_an_archived_job_is_replayed(greenroom: Served) -> None:
    """The job goes back to the lane, and the queue counts it again."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)
    stage.fail(stage.take_one())
    archive_all(greenroom)
    (letter,) = items(ann, "/dead-letters")
    assert ann.post(f"/dead-letters/{letter['id']}/replay").status_code == 200
    stage.complete(stage.take_one())
    assert ann.get(f"/jobs/{job['id']}").json()["status"] == "completed"
    assert archive_all(greenroom) == 1


def test_d14_after_its_retention_a_job_is_gone(greenroom: Served) -> None:
    """Archived or not: it and all that hangs on it are not found any more."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)
    stage.complete(stage.take_one())
    archive_all(greenroom)
    newer = submit(ann)
    with greenroom.database.write() as session:
        assert prune.prune(session, older_than_seconds=-1.0) == 1
    answers = [ann.get(f"/jobs/{job['id']}{more}").status_code for more in ("", "/history", "/attempts")]
    assert answers == [404, 404, 404]
    assert [one["id"] for one in items(ann, "/jobs")] == [newer["id"]]
