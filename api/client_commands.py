"""The commands of a client: what anybody with a key may do over HTTP (GREENROOM_URL, GREENROOM_KEY)."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import rich_click as click

from api import printing

if TYPE_CHECKING:
    from api.client import Client

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")


@click.command()
@click.argument("type")
@click.argument("payload", metavar="JSON")
@click.option("--wait", is_flag=True, help="Wait until it has finished; exit with 1 unless it completed.")
@click.option("--priority", help="0 to 10, higher first, or low, normal, high.")
@click.option("--run-after", metavar="TIME", help="Not before this moment, as in 2031-01-31T12:00:00Z.")
@click.option("--max-attempts", type=int, help="How often it is tried at most.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--idempotency-key", metavar="KEY", help="Submitting again with the same key gives the same job.")
@_AS_JSON
def submit(payload: str, *, wait: bool, idempotency_key: str | None, as_json: bool, **fields: Any) -> None:
    """Submit a job; JSON is its payload, `-` reads it from standard input."""
    body = {name: value for name, value in fields.items() if value not in (None, ())}
    if str(body.get("priority", "")).isdigit():
        body["priority"] = int(body["priority"])
    body["payload"] = _json(payload)
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    with _client() as client:
        job = client.call("POST", "jobs", json=body, headers=headers)
        if wait:
            job = client.finished(job["id"])
    printing.job(job, as_json=as_json)
    if wait:
        _exit_by(job["status"])


@click.command()
@click.argument("job_id", metavar="ID")
@_AS_JSON
def get(job_id: str, *, as_json: bool) -> None:
    """Show how a job stands."""
    with _client() as client:
        printing.job(client.call("GET", f"jobs/{_word(job_id)}"), as_json=as_json)


@click.command()
@click.argument("job_id", metavar="ID")
@_AS_JSON
def watch(job_id: str, *, as_json: bool) -> None:
    """Follow a job's events until it has finished; exit with 1 unless it completed."""
    with _client() as client:
        for event in client.events(_word(job_id)):
            printing.event(event, as_json=as_json)
        status = client.call("GET", f"jobs/{_word(job_id)}")["status"]
    _exit_by(status)


@click.command("list")
@click.option("--status", help="Only queued, processing, completed, failed or cancelled ones.")
@click.option("--type", help="Only those of this job type.")
@click.option("--tag", help="Only those with this tag.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many, newest first.")
@_AS_JSON
def list_(*, as_json: bool, **filters: Any) -> None:
    """List jobs, newest first."""
    with _client() as client:
        page = client.call("GET", "jobs", params=_given(filters))
    printing.table(page, ("id", "status", "type", "created_at"), as_json=as_json)


@click.command()
@click.argument("job_id", metavar="ID")
@_AS_JSON
def cancel(job_id: str, *, as_json: bool) -> None:
    """Cancel a job; a cancelled one stays cancelled."""
    with _client() as client:
        printing.job(client.call("DELETE", f"jobs/{_word(job_id)}"), as_json=as_json)


@click.group("dead-letters")
def dead_letters() -> None:
    """Look after the jobs that failed for good."""


@dead_letters.command("list")
@click.option("--type", help="Only those of this job type.")
@click.option("--fingerprint", help="Only those that failed in this way.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many, newest first.")
@_AS_JSON
def list_letters(*, as_json: bool, **filters: Any) -> None:
    """List dead letters, newest first."""
    with _client() as client:
        page = client.call("GET", "dead-letters", params=_given(filters))
    printing.table(page, ("id", "job", "type", "fingerprint", "died_at", "replayed_at"), as_json=as_json)


@dead_letters.command()
@click.argument("letter_id", metavar="ID")
def show(letter_id: str) -> None:
    """Show a dead letter with its payload, error and traceback, as JSON."""
    with _client() as client:
        printing.as_json(client.call("GET", f"dead-letters/{_word(letter_id)}"))


@dead_letters.command()
@click.argument("letter_id", metavar="ID")
@click.option("--payload", metavar="JSON", help="Try it with this payload.")
@_AS_JSON
def replay(letter_id: str, *, payload: str | None, as_json: bool) -> None:
    """Send the job back to the queue with new attempts."""
    body = {} if payload is None else {"payload": _json(payload)}
    with _client() as client:
        printing.job(client.call("POST", f"dead-letters/{_word(letter_id)}/replay", json=body), as_json=as_json)


@dead_letters.command()
@click.argument("letter_id", metavar="ID")
def delete(letter_id: str) -> None:
    """Throw a dead letter away; its job stays failed."""
    with _client() as client:
        client.call("DELETE", f"dead-letters/{_word(letter_id)}")


@click.command()
def doctor() -> None:
    """Find out whether Greenroom can be reached and used from here, and what is wrong if not."""
    with _client() as client:
        checks = (
            ("the API answers", "/health/live", f"is Greenroom running? GREENROOM_URL is {client.url}"),
            ("it is ready", "/health/ready", "its database does not answer: look at its log"),
            ("the key is good", "quota", "GREENROOM_KEY is unset" if not client.has_key else "ask for a new key"),
            ("a worker is there", "queue", "no worker has been heard of: start `greenroom up` or `dramatiq actors`"),
        )
        for claim, path, advice in checks:
            problem = _problem(client, path)
            printing.check(claim, problem, advice)
            if problem:
                sys.exit(1)


COMMANDS = (submit, get, watch, list_, cancel, dead_letters, doctor)


def _problem(client: "Client", path: str) -> str | None:
    from api.client import RefusedError

    try:
        answer = client.call("GET", path)
    except RefusedError as error:
        return str(error)
    return "there is none" if path == "queue" and not answer["workers"] else None


@contextmanager
def _client() -> Iterator["Client"]:
    """Open the client that the settings describe; its errors become one line."""
    from api.client import Client, RefusedError
    from api.settings import ClientSettings
    from persistence.environment import SettingsError, load

    try:
        client = Client(load(ClientSettings))
        try:
            yield client
        finally:
            client.close()
    except (RefusedError, SettingsError) as error:
        printing.error(str(error))
        sys.exit(1)


def _exit_by(status: str) -> None:
    if status != "completed":
        sys.exit(1)


def _json(text: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="JSON") from None


def _word(text: str) -> str:
    """Refuse what cannot be an id before it becomes part of an address."""
    if not text.replace("-", "").isalnum():
        raise click.BadParameter("is not an id", param_hint="ID")
    return text


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}
