"""Schedules over HTTP: what is accepted, changed and refused; that they fire is shown in test_run_processes.py."""

from typing import Any

import httpx
import pytest

from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, ECHO, Stage, items


def create(client: httpx.Client, **words: Any) -> httpx.Response:
    """Ask for a schedule."""
    return client.post("/schedules", json={"type": ECHO, "payload": {}, "cron": "0 3 * * *"} | words)


def test_a_schedule_is_created_read_changed_and_deleted(greenroom: Served) -> None:
    """It comes back as it was asked for, with its next moment, and follows each change."""
    ann = greenroom.user("ann")
    answer = create(
        ann, type=ADD, payload={"a": 1}, timezone="Europe/Berlin", name="nightly", missed="all", priority="high", tags=["n"]
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    path = answer.headers["location"].removeprefix("/api/v1")
    assert (made["type"], made["payload"], made["cron"], made["timezone"]) == (
        ADD,
        {"a": 1, "b": 0},
        "0 3 * * *",
        "Europe/Berlin",
    )
    assert (made["name"], made["missed"], made["priority"], made["tags"]) == ("nightly", "all", 10, ["n"])
    assert (made["paused"], made["last_at"], made["fired_count"], made["missed_count"], made["max_attempts"]) == (
        False, None, 0, 0, 2,
    )  # fmt: skip
    assert made["next_at"][11:16] in {"01:00", "02:00"}
    assert ann.get(path).json() == made
    assert items(ann, "/schedules") == [made]

    changed = ann.patch(path, json={"cron": "30 4 * * *", "timezone": "UTC", "payload": {"a": 2, "b": 3}, "name": None}).json()
    assert (changed["next_at"][11:16], changed["payload"], changed["name"]) == ("04:30", {"a": 2, "b": 3}, None)
    paused = ann.patch(path, json={"paused": True}).json()
    assert (paused["paused"], paused["next_at"]) == (True, None)
    assert ann.patch(path, json={"paused": True}).json() == paused
    resumed = ann.patch(path, json={"paused": False}).json()
    assert (resumed["paused"], resumed["next_at"]) == (False, changed["next_at"])
    assert ann.patch(path, json={}).json() == resumed

    assert ann.delete(path).status_code == 204
    assert [ann.get(path).status_code, ann.delete(path).status_code] == [404, 404]


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ({"cron": "0 0 30 2 *"}, "VALIDATION", "cron"),
        ({"cron": "0 0 31 4 *"}, "VALIDATION", "cron"),
        ({"cron": "60 * * * *"}, "VALIDATION", "cron"),
        ({"cron": "* * * * * *"}, "VALIDATION", "cron"),
        ({"cron": "every day at nine"}, "VALIDATION", "cron"),
        ({"timezone": "Mars/Phobos"}, "VALIDATION", "timezone"),
        ({"timezone": "../../etc/passwd"}, "VALIDATION", "timezone"),
        ({"tags": ["a\n"]}, "VALIDATION", "tags[0]"),
        ({"name": "a\n"}, "VALIDATION", "name"),
        ({"missed": "shrug"}, "VALIDATION", "missed"),
        ({"type": ADD, "payload": {"a": "x"}}, "VALIDATION", "payload.a"),
        ({"type": "nobody.knows"}, "UNKNOWN_JOB_TYPE", None),
        ({"interval": 5}, "VALIDATION", None),
    ],
)
def test_a_wrong_schedule_is_refused(greenroom_on_sqlite: Served, words: dict[str, Any], code: str, field: str | None) -> None:
    """A cron expression that never fires, a zone that does not exist and the like: 400 with the field, and nothing is made."""
    ann, stage = greenroom_on_sqlite.user("ann"), Stage(greenroom_on_sqlite.database)
    answer = create(ann, **words)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert field is None or answer.json()["field"] == field
    assert stage.rows("schedules") == 0


def test_a_change_is_checked_like_a_new_one(greenroom_on_sqlite: Served) -> None:
    """A change to what never fires, or to a payload that does not fit, is refused and changes nothing."""
    ann = greenroom_on_sqlite.user("ann")
    made = create(ann, type=ADD, payload={"a": 1}).json()
    path = f"/schedules/{made['id']}"
    for words in ({"cron": "0 0 30 2 *"}, {"timezone": "Mars/Phobos"}, {"payload": {"a": "x"}}, {"type": ECHO}):
        assert ann.patch(path, json=words).status_code == 400
    assert ann.get(path).json() == made


def test_schedules_are_one_s_own(greenroom: Served) -> None:
    """Nobody else sees a schedule or can do anything with it."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    made = create(ann).json()
    path = f"/schedules/{made['id']}"
    assert [bob.get(path).status_code, bob.patch(path, json={}).status_code, bob.delete(path).status_code] == [404] * 3
    assert items(bob, "/schedules") == []
    assert items(greenroom.admin, "/schedules") == [made]
