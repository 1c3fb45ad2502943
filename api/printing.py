"""What the command line prints: plain lines for people, JSON for programs, and nothing that could steer a terminal."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from api.client import Event

_SHOWN = ("id", "type", "status", "waiting_for", "position", "attempt", "created_at", "started_at", "finished_at")


def as_json(value: Any) -> None:
    """Print a value as JSON; control characters come out escaped."""
    click.echo(json.dumps(value, indent=2))


def job(job: dict[str, Any], *, as_json: bool) -> None:
    """Print a job: how it stands, its progress, and its result or error."""
    if as_json:
        click.echo(json.dumps(job))
        return
    lines = {name: job.get(name) for name in _SHOWN}
    progress = job.get("progress") or {}
    if progress.get("percent"):
        lines["progress"] = f"{progress['percent']:g} % {progress.get('note') or ''}".rstrip()
    if job.get("error"):
        lines["error"] = f"{job['error'].get('type')}: {job['error'].get('message')}"
    if job.get("result") is not None:
        lines["result"] = json.dumps(job["result"])
    for name, value in lines.items():
        if value is not None:
            click.echo(f"{name:<12} {plain(value)}")


def event(event: "Event", *, as_json: bool) -> None:
    """Print one event of a job, at once, for somebody who watches."""
    if as_json:
        click.echo(json.dumps({"event": event.name, **event.content}))
        return
    words = " ".join(f"{name}={plain(value)}" for name, value in event.content.items() if value not in (None, "", {}))
    click.echo(f"{event.name:<16} {words}")


def table(page: dict[str, Any], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a page of a list, one line an item."""
    if as_json:
        click.echo(json.dumps(page))
        return
    rows = [[plain(item.get(column) or "-") for column in columns] for item in page["items"]]
    widths = [max(len(word) for word in words) for words in zip(columns, *rows, strict=True)]
    for row in [list(columns), *rows] if rows else []:
        click.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    if not rows:
        click.echo("Nothing.", err=True)
    if page.get("next_cursor"):
        click.echo("There are more.", err=True)


def check(claim: str, problem: str | None, advice: str) -> None:
    """Print what a check has found, and what to do about it."""
    click.echo(f"ok      {claim}" if problem is None else f"FAILED  {claim}: {plain(problem)}\n        {plain(advice)}")


def error(message: str) -> None:
    """Print why a command was refused."""
    click.echo(f"greenroom: {plain(message)}", err=True)


def plain(value: Any) -> str:
    """Write a value on one line; whatever could end the line or steer the terminal comes out escaped."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
