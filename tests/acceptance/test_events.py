from contextlib import ExitStack

import pytest

from api import events
from persistence.attempts import Ending
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, items, submit
from tests.acceptance.streams import listening


def life(stage: Stage, *endings: Ending) -> None:
    """Lead the next job through attempts that end like this."""
    for ending in endings:
        words = {"result": "1"} if ending is Ending.COMPLETED else {}
        stage.finish(stage.take_one(), ending, **words)


def test_a_stream_tells_the_whole_life_of_a_job(greenroom: Served) -> None:
    """What has happened is told first, then what happens; after the final event the stream ends by itself."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    life(stage, Ending.RETRY)

    with listening(ann, f"/jobs/{job}/events") as stream:
        past = [next(stream) for _ in range(3)]
        taken = stage.take_one()
        active = next(stream)
        stage.progress(taken, 40, "page 4")
        progress = next(stream)
        stage.complete(taken)
        rest = list(stream)

    assert [event.name for event in past] == ["job.enqueued", "job.active", "job.retrying"]
    assert (active.name, active.said["attempt"], active.said["worker"]) == ("job.active", 2, stage.worker)
    assert (progress.name, progress.id) == ("job.progress", None)
    assert progress.said["progress"] == {"percent": 40.0, "note": "page 4"}
    assert [event.name for event in rest] == ["job.completed"]
    assert {event.said["job"] for event in [*past, active, progress, *rest]} == {job}


def test_a_stream_of_a_finished_job_replays_and_ends(greenroom: Served) -> None:
    """A finished job's stream is its history; resumed, it tells what is left, and 204 when nothing is."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    stage.fail(stage.take_one())

    with listening(ann, f"/jobs/{job}/events") as stream:
        events_of_job = list(stream)
    with listening(ann, f"/jobs/{job}/events", last=events_of_job[0].id) as stream:
        resumed = list(stream)
    again = ann.get(f"/jobs/{job}/events", headers={"Last-Event-ID": events_of_job[-1].id or ""})

    assert [event.name for event in events_of_job] == ["job.enqueued", "job.active", "job.failed"]
    assert [event.id for event in resumed] == [event.id for event in events_of_job[1:]]
    assert events_of_job[-1].said["error"]["type"] == "ValueError"
    assert (again.status_code, again.content) == (204, b"")


def test_one_s_own_events_and_no_others(greenroom: Served) -> None:
    """The stream of all jobs tells a user's own events as they happen; the operator's tells everybody's."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    submit(ann)
    with ExitStack() as stack:
        anns = stack.enter_context(listening(ann, "/events"))
        alls = stack.enter_context(listening(greenroom.admin, "/events"))
        theirs, mine = submit(bob)["id"], submit(ann)["id"]
        cancelled = ann.delete(f"/jobs/{mine}")
        assert cancelled.status_code == 200

        heard = [next(anns), next(anns)]
        heard_by_all = [next(alls) for _ in range(3)]

    assert [(event.name, event.said["job"]) for event in heard] == [("job.enqueued", mine), ("job.cancelled", mine)]
    assert {event.said["job"] for event in heard_by_all} == {mine, theirs}


def test_a_broken_stream_is_resumed_without_a_gap(greenroom: Served) -> None:
    """With the last event's id the stream of all jobs goes on exactly after it."""
    ann = greenroom.user("ann")
    with listening(ann, "/events") as stream:
        jobs = [submit(ann)["id"] for _ in range(3)]
        first = next(stream)
    jobs += [submit(ann)["id"] for _ in range(3)]

    with listening(ann, "/events", last=first.id) as stream:
        jobs.append(submit(ann)["id"])
        rest = [next(stream) for _ in range(6)]

    assert [event.said["job"] for event in [first, *rest]] == jobs


def test_silence_is_broken_by_pings(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream on which nothing happens says that it is alive."""
    monkeypatch.setattr(events, "PING_SECONDS", 0.05)
    ann = greenroom.user("ann")

    with ann.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": ping"


@pytest.mark.parametrize("last", ["x", "-1", "1-", "9" * 30, "1.5"])
def test_a_strange_last_event_is_refused(greenroom: Served, last: str) -> None:
    """What never was an id of the stream is a bad request."""
    ann = greenroom.user("ann")
    job = submit(ann)["id"]

    for path in ("/events", f"/jobs/{job}/events"):
        assert ann.get(path, headers={"Last-Event-ID": last}).status_code == 400


def test_a_replayed_job_tells_both_lives(greenroom: Served) -> None:
    """A job that failed and was replayed does not end its stream at the first failure."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    stage.fail(stage.take_one())
    (letter,) = items(ann, "/dead-letters")
    assert ann.post(f"/dead-letters/{letter['id']}/replay").status_code == 200
    stage.complete(stage.take_one())

    with listening(ann, f"/jobs/{job}/events") as stream:
        names = [event.name for event in stream]

    assert names == ["job.enqueued", "job.active", "job.failed", "job.enqueued", "job.active", "job.completed"]
