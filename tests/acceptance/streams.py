"""Streams of events as a client reads them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx


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
