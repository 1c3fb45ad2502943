"""What webhook endpoints are told: the audit trail, read from a cursor of its own, becomes one delivery an endpoint and event."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlmodel import Session

from persistence import event_feed
from persistence.batches import Batch
from persistence.database import now as database_now
from persistence.event_feed import Position, Step, Watched
from persistence.ids import new_id
from persistence.statements import run

# All that the trail tells; a job's progress is not in it.
EVENTS = ("job.enqueued", "job.active", "job.retrying", "job.completed", "job.failed", "job.cancelled")
TEST_EVENT = "webhook.test"

_PAGE = 500


@dataclass(frozen=True, slots=True)
class News:
    """What has come since the cursor, read before it is written down.

    :param cursor: where the cursor stood.
    :param end: where it may move to.
    :param told: the endpoints' ids, each with a step that it is told.
    :param more: whether there is more to be read at once.
    """

    cursor: Position
    end: Position
    told: Sequence[tuple[str, Step]]
    more: bool


def read(session: Session, *, seen: Position) -> News | None:
    """Read what endpoints are to be told, writing nothing.

    The end is fixed before the endpoints are listed: one that comes in between begins behind it and misses nothing.

    :param seen: the place up to which this reader has read before and found nothing.
    :returns: None while there is no endpoint that wants anything.
    """
    cursor = run(session, "SELECT xid, transition_id FROM webhook_cursor").first()
    if cursor is None:
        return None
    place = Position(*cursor)
    end = event_feed.here(session)
    listening: defaultdict[str, list[tuple[str, frozenset[str], Position]]] = defaultdict(list)
    for row in run(
        session,
        """SELECT id, user_id, events, since_xid, since_id FROM webhook_endpoints
        WHERE disabled_at IS NULL AND deleted_at IS NULL""",
    ):
        since = Position(row.since_xid, row.since_id)
        listening[str(row.user_id)].append((str(row.id), frozenset(json.loads(row.events)), since))
    if not listening:
        return None
    start = max(place, seen)
    watched = Watched(users=list(listening))
    steps, end = event_feed.read(session, after=start, watched=watched, limit=_PAGE, end=end)
    told = [
        (endpoint, step)
        for step in steps
        for endpoint, events, since in listening[step.user_id]
        if step.event in events and step.position > since
    ]
    return News(place, end, told, len(steps) == _PAGE)


def write(session: Session, news: News) -> bool:
    """Write down the deliveries of what was read and move the cursor, in one transaction.

    :returns: whether the cursor still stood where the reader had found it; if not, another one was quicker.
    """
    moved = run(
        session,
        """UPDATE webhook_cursor SET xid = :xid, transition_id = :last
        WHERE number = 1 AND xid = :old_xid AND transition_id = :old_last RETURNING number""",
        xid=news.end.xid,
        last=news.end.id,
        old_xid=news.cursor.xid,
        old_last=news.cursor.id,
    ).first()
    if moved is None or not news.told:
        return moved is not None
    columns = {
        "id": "uuid", "endpoint_id": "uuid", "user_id": "uuid", "job_id": "uuid", "seq": "int", "event": "text", "body": "text",
    }  # fmt: skip
    rows = [(new_id(), endpoint, step.user_id, step.job_id, step.seq, step.event, body_of(step)) for endpoint, step in news.told]
    batch = Batch(session, "b", columns, rows)
    run(
        session,
        f"""INSERT INTO webhook_deliveries
            (id, endpoint_id, user_id, job_id, seq, event, body, status, attempts, tries, claim_no, next_at, created_at)
        SELECT b.id, b.endpoint_id, b.user_id, b.job_id, b.seq, b.event, b.body, 'pending', 0, 0, 0, :now, :now
        FROM {batch.sql} WHERE true ON CONFLICT (endpoint_id, job_id, seq) DO NOTHING""",
        now=database_now(session),
        **batch.parameters,
    )
    return True


def body_of(step: Step) -> str:
    """Write what is sent of a step, once and for all of its tries."""
    told = {
        "job": step.job_id,
        "type": step.type,
        "from": step.before,
        "to": step.to,
        "attempt": step.attempt,
        "at": step.at,
        "worker": step.worker,
        "reason": step.reason,
        "error": None if step.error is None else msgspec.Raw(step.error.encode()),
    }
    return msgspec.json.encode({"type": step.event, "timestamp": step.at, "data": told}).decode()
