from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, Stage, items, submit


def test_a_failed_job_leaves_a_letter(greenroom: Served) -> None:
    """The record has all that is needed to understand the failure; lists filter; others see nothing."""
    ann, bob, stage = greenroom.user("ann"), greenroom.user("bob", tenant="other"), Stage(greenroom.database)
    job = submit(ann, {"a": 1}, type=ADD)["id"]
    stage.fail(stage.take_one(), "OSError")
    submit(ann)
    stage.fail(stage.take_one(), "KeyError")

    newest, letter = items(ann, "/dead-letters", limit=1)
    assert letter == ann.get(f"/dead-letters/{letter['id']}").json()
    assert (letter["job"], letter["type"], letter["payload"], letter["attempts"]) == (job, ADD, {"a": 1, "b": 0}, 1)
    assert letter["error"] == {"type": "OSError", "message": "no good", "retryable": False, "attempt": 1}
    assert (letter["fingerprint"], letter["traceback"], letter["replayed_at"]) == ("OSError", "Traceback", None)
    assert items(ann, "/dead-letters", fingerprint="OSError") == items(ann, "/dead-letters", type=ADD) == [letter]
    assert items(greenroom.admin, "/dead-letters") == [newest, letter]
    assert items(bob, "/dead-letters") == []
    for call in (("GET", ""), ("DELETE", ""), ("POST", "/replay")):
        theirs = bob.request(call[0], f"/dead-letters/{letter['id']}{call[1]}")
        assert (theirs.status_code, theirs.json()["code"]) == (404, "NOT_FOUND")


def test_a_replay_brings_the_same_job_back(greenroom: Served) -> None:
    """The job is queued again with new attempts and a corrected payload; pressed twice it is replayed once."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann, {"a": 1}, type=ADD)["id"]
    stage.fail(stage.take_one())
    (letter,) = items(ann, "/dead-letters")
    path = f"/dead-letters/{letter['id']}/replay"

    wrong = ann.post(path, json={"payload": {"a": "x"}})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "payload.a")
    assert ann.get(f"/jobs/{job}").json()["status"] == "failed"
    answers = [ann.post(path, json={"payload": {"a": 2}}), ann.post(path)]

    assert [answer.status_code for answer in answers] == [200, 200]
    for answer in answers:
        back = answer.json()
        assert (back["id"], back["status"], back["attempt"], back["payload"]) == (job, "queued", 0, {"a": 2, "b": 0})
        assert (back["position"], back["error"], back["finished_at"]) == (1, None, None)
    stage.complete(stage.take_one(), "2")
    assert len(items(ann, f"/jobs/{job}/history")) == 6
    assert ann.get(f"/dead-letters/{letter['id']}").json()["replayed_at"] is not None


def test_a_replay_needs_room_in_the_tier(greenroom: Served) -> None:
    """A user at the limit gets 429 and can replay when there is room again."""
    ann, stage = greenroom.user("ann", tier="free"), Stage(greenroom.database)
    submit(ann)
    stage.fail(stage.take_one())
    (letter,) = items(ann, "/dead-letters")
    other = submit(ann)["id"]

    refused = ann.post(f"/dead-letters/{letter['id']}/replay")
    assert (refused.status_code, refused.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert ann.get(f"/dead-letters/{letter['id']}").json()["replayed_at"] is None
    ann.delete(f"/jobs/{other}")
    assert ann.post(f"/dead-letters/{letter['id']}/replay").json()["status"] == "queued"


def test_a_bulk_replays_what_fits(greenroom: Served) -> None:
    """A dry run counts, a bulk replays one's own letters that fit, and again there is nothing left to do."""
    ann, bob, stage = greenroom.user("ann"), greenroom.user("bob", tenant="other"), Stage(greenroom.database)
    for client, kind in ((ann, "OSError"), (ann, "KeyError"), (ann, "OSError"), (bob, "OSError")):
        submit(client)
        stage.fail(stage.take_one(), kind)
    wish = {"fingerprint": "OSError"}

    dry = ann.post("/dead-letters/replay", json={**wish, "dry_run": True}).json()
    early = ann.post("/dead-letters/replay", json={**wish, "before": "2020-01-01T00:00:00Z"}).json()
    done = ann.post("/dead-letters/replay", json=wish).json()
    again = ann.post("/dead-letters/replay", json=wish).json()
    rest = ann.post("/dead-letters/replay").json()

    assert (dry["matched"], dry["replayed"], early["matched"]) == (2, 0, 0)
    assert (done["matched"], done["replayed"], done["refused"]) == (2, 2, 0)
    assert again["matched"] == 0
    assert rest["replayed"] == 1
    assert sorted(job["id"] for job in items(ann, "/jobs", status="queued")) == sorted(done["jobs"] + rest["jobs"])
    assert items(bob, "/jobs", status="queued") == []


def test_a_letter_is_thrown_away(greenroom: Served) -> None:
    """A deleted letter is gone, and its job stays failed."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    stage.fail(stage.take_one())
    (letter,) = items(ann, "/dead-letters")

    assert [ann.delete(f"/dead-letters/{letter['id']}").status_code for _ in range(2)] == [204, 404]
    assert items(ann, "/dead-letters") == []
    assert ann.post("/dead-letters/replay").json()["matched"] == 0
    assert ann.get(f"/jobs/{job}").json()["status"] == "failed"
