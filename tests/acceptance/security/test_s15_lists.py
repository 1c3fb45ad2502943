"""S15: no list, count or stream shows, or counts, what belongs to somebody else."""

import json

import httpx

from tests.acceptance.security.belongings import own_everything
from tests.acceptance.security.operations import operations
from tests.acceptance.served import ECHO, Served


def test_lists_and_counts_have_no_foreign_rows(greenroom: Served) -> None:
    """Every address without an id answers a user as if nobody else were there."""
    # given
    me = greenroom.user("me", tenant="acme")
    lists = [one for one in operations(greenroom) if one.verb == "get" and not one.parameters and not one.streams]
    assert len(lists) > 6
    before = {one.path: me.get(one.path).content for one in lists}
    # when
    foreign = [own_everything(greenroom, greenroom.user(name, tenant=tenant), name) for name, tenant in
               (("colleague", "acme"), ("stranger", "globex"))]  # fmt: skip
    # then
    after = {one.path: me.get(one.path).content for one in lists}
    assert after == before
    for filters in ({"type": ECHO}, {"tag": "tag-of-stranger"}, {"status": "queued"}):
        assert me.get("/jobs", params=filters).json()["items"] == []
    assert me.get("/dead-letters", params={"fingerprint": "f" * 16}).json()["items"] == []
    listed = greenroom.admin.get("/jobs").text
    assert all(owned["job"] in listed for owned in foreign)


def test_streams_tell_nothing_foreign(greenroom: Served) -> None:
    """The stream of events has one's own event and not the earlier one of somebody else; the operator's has both."""
    me, them = greenroom.user("me"), greenroom.user("them")
    job = {"type": ECHO, "payload": {}}
    with me.stream("GET", "/events") as mine, greenroom.admin.stream("GET", "/events") as all_events:
        assert (mine.status_code, all_events.status_code) == (200, 200)
        theirs = them.post("/jobs", json=job).json()["id"]
        own = me.post("/jobs", json=job).json()["id"]
        assert first_jobs(mine, 1) == [own]
        assert first_jobs(all_events, 2) == [theirs, own]


def first_jobs(stream: httpx.Response, count: int) -> list[str]:
    """Read the jobs of the first events of a stream."""
    found: list[str] = []
    for line in stream.iter_lines():
        if line.startswith("data:"):
            found.append(json.loads(line.removeprefix("data:"))["job"])
        if len(found) == count:
            break
    return found
