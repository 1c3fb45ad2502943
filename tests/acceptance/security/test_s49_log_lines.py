"""S49: nobody writes lines of their own into the log."""

import json
from typing import Literal

import pytest
import structlog

from tests.acceptance.served import Served, captured_logs

FORGED = '{"event": "forged"}'
BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x1b[2K\x1b[1A"]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("line_break", BREAKS, ids=ascii)
def test_one_event_is_one_line(log_format: Literal["json", "console"], line_break: str) -> None:
    """Line ends and terminal sequences in messages, names, fields and nested values do not come out as such."""
    text = f"a{line_break}{FORGED}"
    with captured_logs(log_format) as log:
        structlog.get_logger("tests").info(text, value=text, nested={"inner": [text], text: 1}, **{text: 1})
    assert len(log.getvalue().splitlines()) == 1
    assert "\x1b[2K" not in log.getvalue()


def test_a_forged_traceback_is_marked() -> None:
    """On a terminal a traceback has its lines, each behind a mark, so that none passes for an event."""
    with captured_logs("console") as log:
        error = ValueError(f"a\n2026-01-01 00:00:00 [info     ] forged\r\n{FORGED}")
        structlog.get_logger("tests").error("failed", exc_info=error)
    first, *others = log.getvalue().splitlines()
    assert "failed" in first
    assert others
    assert all(line.startswith("    | ") for line in others)


def test_requests_write_one_line_each(greenroom_on_sqlite: Served) -> None:
    """Encoded line ends in an address, a query, a header or a body make no second line."""
    with captured_logs() as log:
        client = greenroom_on_sqlite.admin
        client.get("/jobs/%0d%0a" + FORGED.replace(" ", "%20"))
        client.get("/jobs", params={"type": f"x\r\n{FORGED}"})
        client.put(f"/users/a%0a{FORGED}", json={"tenant": f"t\n{FORGED}", "tier": "pro"})
        client.post("/jobs", json={"type": f"x\n{FORGED}", "payload": {}})
        peer = greenroom_on_sqlite.connect()
        peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\x0bb\r\n\nforged\r\n\r\n")
        peer.recv(65536)
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len([event for event in events if event["event"] == "request"]) >= 4
    assert not [event for event in events if event["event"] == "forged"]
