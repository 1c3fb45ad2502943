import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from api import events, feed
from persistence.attempts import Ending
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, items, submit


class Told:
    """One event as a client reads it."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines)
        self.name, self.id = fields.get("event"), fields.get("id")
        self.said: dict[str, Any] = json.loads(fields["data"])

    def __repr__(self) -> str:
        return f"{self.id} {self.name} {self.said}"


@contextmanager
def listening(client: httpx.Client, path: str, last: str | None = None) -> Iterator[Iterator[Told]]:
    """Open a stream; gives its events one by one as they come."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with client.stream("GET", path, headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")
        yield told(lines)


def told(lines: Iterator[str]) -> Iterator[Told]:
    """Put lines together to events; comments are no events."""
    gathered: list[str] = []
    for line in lines:
        if line:
            gathered += [] if line.startswith(":") else [line]
        elif gathered:
            yield Told(gathered)
            gathered = []


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


def test_streams_are_limited(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user and a tenant have so many streams; one more is 429, and an ended one gives its place back."""
    monkeypatch.setattr(feed, "MOST_STREAMS_OF_USER", 2)
    monkeypatch.setattr(feed, "MOST_STREAMS_OF_TENANT", 3)
    ann, abe, bob = greenroom.user("ann"), greenroom.user("abe"), greenroom.user("bob", tenant="other")
    with ExitStack() as stack:
        for client in (ann, ann, abe):
            stack.enter_context(listening(client, "/events"))
        refused = [ann.get("/events"), abe.get("/events")]
        stack.enter_context(listening(bob, "/events"))

    assert [(answer.status_code, answer.json()["limit"]) for answer in refused] == [(429, 2), (429, 3)]
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    job = submit(ann)["id"]
    ann.delete(f"/jobs/{job}")
    # Each of these takes a place and gives it back before it ends.
    for _ in range(4):
        with listening(ann, f"/jobs/{job}/events") as stream:
            assert [event.name for event in stream] == ["job.enqueued", "job.cancelled"]


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
