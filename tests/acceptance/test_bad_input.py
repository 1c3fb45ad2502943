import json
from typing import Any

import httpx
import pytest

from tests.acceptance.served import Served
from tests.acceptance.stage import ADD, ECHO, Stage, items

JSON = {"content-type": "application/json"}


def job(payload: str = "{}", more: str = "", type: str = ECHO) -> bytes:
    """Write a submission by hand."""
    return f'{{"type": "{type}", "payload": {payload}{more}}}'.encode()


BAD: dict[str, tuple[bytes, int, str]] = {
    "cut off": (b'{"type": "', 400, "VALIDATION"),
    "no body": (b"", 400, "VALIDATION"),
    "null": (b"null", 400, "VALIDATION"),
    "a list": (b"[]", 400, "VALIDATION"),
    "no payload": (b'{"type": "tests.echo"}', 400, "VALIDATION"),
    "not UTF-8": (b'{"type": "tests.echo", "payload": {"a": "\xff"}}', 400, "VALIDATION"),
    "unknown field": (job(more=', "status": "completed"'), 400, "VALIDATION"),
    "unknown field of the payload": (job('{"a": 1, "c": 2}', type=ADD), 400, "VALIDATION"),
    "unknown type": (job(type="tests.nobody"), 400, "UNKNOWN_JOB_TYPE"),
    "wrong type": (job('{"a": "1"}', type=ADD), 400, "VALIDATION"),
    "out of range": (job('{"a": 1, "b": -1}', type=ADD), 400, "VALIDATION"),
    "payload is no object": (job("[]"), 400, "VALIDATION"),
    "payload is null": (job("null"), 400, "VALIDATION"),
    "key twice": (b'{"type": "tests.echo", "type": "tests.echo", "payload": {}}', 400, "VALIDATION"),
    "key twice in the payload": (job('{"a": {"b": 1, "\\u0062": 2}}'), 400, "VALIDATION"),
    "NUL in a text": (job('{"a": "x\\u0000"}'), 400, "VALIDATION"),
    "NUL in a key": (job('{"\\u0000": 1}'), 400, "VALIDATION"),
    "NUL in a tag": (job(more=', "tags": ["\\u0000"]'), 400, "VALIDATION"),
    "NaN": (job('{"a": NaN}'), 400, "VALIDATION"),
    "Infinity": (job('{"a": -Infinity}'), 400, "VALIDATION"),
    "too large a float": (job('{"a": 1e999}'), 400, "VALIDATION"),
    "too large an integer": (job(f'{{"a": {"9" * 5000}}}'), 400, "VALIDATION"),
    "half a surrogate pair": (job('{"a": "\\ud800"}'), 400, "VALIDATION"),
    "deeply nested": (job(f'{{"a": {"[" * 5000}{"]" * 5000}}}'), 400, "VALIDATION"),
    "deeply nested objects": (job('{"a":' * 5000 + "1" + "}" * 5000), 400, "VALIDATION"),
    "nested and cut off": (b"[" * 1_000_000, 400, "VALIDATION"),
    "priority": (job(more=', "priority": 11'), 400, "VALIDATION"),
    "priority's name": (job(more=', "priority": "urgent"'), 400, "VALIDATION"),
    "priority true": (job(more=', "priority": true'), 400, "VALIDATION"),
    "no time zone": (job(more=', "run_after": "2030-01-01T00:00:00"'), 400, "VALIDATION"),
    "no moment": (job(more=', "run_after": "tomorrow"'), 400, "VALIDATION"),
    "before time": (job(more=', "run_after": "0001-01-01T00:00:00+14:00"'), 400, "VALIDATION"),
    "the year 1": (job(more=', "run_after": "0001-01-01T00:00:00Z"'), 400, "VALIDATION"),
    "no attempts": (job(more=', "max_attempts": 0'), 400, "VALIDATION"),
    "tag of two lines": (job(more=', "tags": ["a\\nb"]'), 400, "VALIDATION"),
    "tag with a line's end": (job(more=', "tags": ["a\\n"]'), 400, "VALIDATION"),
    "too many tags": (job(more=f', "tags": {json.dumps(["x"] * 21)}'), 400, "VALIDATION"),
    "parent is no id": (job(more=', "depends_on": ["x"]'), 400, "VALIDATION"),
    "parent is unknown": (job(more=', "depends_on": ["01a203d5-8286-74ac-aa6c-0383f8d224f9"]'), 400, "VALIDATION"),
    "too large": (job(f'{{"a": "{"x" * 3_000_000}"}}'), 413, "PAYLOAD_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies_are_refused_and_leave_no_row(greenroom: Served, name: str) -> None:
    """A bad submission gets its 4xx as a problem, alone and in a bulk; nothing is written, and the next one is served."""
    ann = greenroom.user("ann", tier="enterprise")
    body, status, code = BAD[name]

    answers = [ann.post("/jobs", content=body, headers=JSON)]
    if body.startswith(b'{"type"') and status == 400:
        answers.append(ann.post("/jobs/bulk", content=b'{"jobs": [' + body + b"]}", headers=JSON))

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text
    assert Stage(greenroom.database).rows() == 0
    assert ann.post("/jobs", content=job(), headers=JSON).status_code == 202


def test_odd_but_good_bodies_are_kept_exactly(greenroom: Served) -> None:
    """Escapes, emoji, large integers, nesting and keys that look like syntax are stored and given back as they are."""
    ann = greenroom.user("ann")
    payload: dict[str, Any] = {'a:":': 1, "b": ":", "n": 10**30, "s": "\\u0000 😀 \u2028", "deep": [[[[[{}]]]]], "": None}

    made = ann.post("/jobs", json={"type": ECHO, "payload": payload})

    assert made.status_code == 202, made.text
    assert ann.get(f"/jobs/{made.json()['id']}").json()["payload"] == payload


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({**JSON, "idempotency-key": ""}, 400),
        ({**JSON, "idempotency-key": "x" * 256}, 400),
        ({**JSON, "idempotency-key": "two words"}, 400),
    ],
)
def test_bad_headers_are_refused(greenroom: Served, headers: dict[str, str], status: int) -> None:
    """A wrong media type and a bad idempotency key are refused, and nothing is written."""
    ann = greenroom.user("ann")

    assert ann.post("/jobs", content=job(), headers=headers).status_code == status
    assert items(ann, "/jobs") == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=zzz", "cursor=", "status=done", "status=", "tag=" + "x" * 101, "type=%00"],
)
def test_bad_queries_are_refused(greenroom: Served, query: str) -> None:
    """A list refuses what it cannot mean, rather than guess."""
    answer = greenroom.user("ann").get(f"/jobs?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("more", [{}, {"dry_run": True}])
def test_bad_moments_are_refused(greenroom: Served, before: str, more: dict[str, Any]) -> None:
    """What no database can hold is no moment before which letters could have come."""
    answer = greenroom.user("ann").post("/dead-letters/replay", json={"before": before, **more})

    assert (answer.status_code, answer.json()["field"]) == (400, "before")


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "soon"])
def test_bad_waits_are_refused(greenroom: Served, wait: str) -> None:
    """One waits for a number of seconds from 0 to 60."""
    answer = greenroom.user("ann").get(f"/jobs/01a203d5-8286-74ac-aa6c-0383f8d224f9?wait={wait}")

    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")


def test_a_bulk_body_is_refused_before_it_is_read(greenroom: Served) -> None:
    """A body above 16 MiB is refused, whether its length is told before or not."""
    ann = greenroom.user("ann")

    def pieces() -> Any:
        for _ in range(17 * 16):
            yield b" " * 65536

    answers: list[httpx.Response] = [
        ann.post("/jobs/bulk", content=b" " * (17 * 1024 * 1024), headers=JSON),
        ann.post("/jobs/bulk", content=pieces(), headers=JSON),
    ]

    assert [(answer.status_code, answer.json()["limit"]) for answer in answers] == [(413, 16 * 1024 * 1024)] * 2
