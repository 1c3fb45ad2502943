"""Sending webhooks: which deliveries are due, who has them in hand, and what came of each try."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from persistence import webhook_endpoints
from persistence.batches import among, many
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.statements import run
from persistence.webhook_deliveries import PENDING, DeliveryStatus

# A receiver whose last try failed is asked one thing at a time.
MOST_AT_ONCE = 4
# Of one process: however many endpoints a user has, the others' turn comes.
MOST_OF_USER = 16


@dataclass(frozen=True, slots=True)
class Sending:
    """A delivery that this process is to send now.

    :param is_failing: whether the last try at its endpoint failed.
    :param secrets: to sign with, the newest first.
    :param at: the moment of the claim.
    """

    id: str
    endpoint_id: str
    user_id: str
    is_failing: bool
    claim_no: int
    tries: int
    url: str = field(repr=False)  # it may hold a secret of its owner's
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try.

    :param status: of the receiver's answer; None when there was none.
    :param error: why it does not count as delivered; None when it does.
    :param wait_seconds: until the next try; None when there is none.
    :param gone: the reason to send nothing there any more; None otherwise.
    :param is_untried: it was not begun, and is given back.
    """

    sending: Sending
    status: int | None
    error: str | None
    wait_seconds: float | None = None
    gone: str | None = None
    is_untried: bool = False


def choose(
    session: Session, *, room: int, room_failing: int, lease_seconds: float, under_way: Mapping[str, int] | None = None
) -> list[str]:
    """Choose deliveries that are due, writing nothing: of each endpoint a few, and those that answer before those that fail.

    :param room: the most of all.
    :param room_failing: the most for endpoints whose last try failed.
    :param under_way: how many of each user this process is sending.
    """
    now = database_now(session)
    lanes = run(
        session,
        # Each endpoint that has something pending, by a jump through the index: however long one lane is, it costs one look.
        f"""WITH RECURSIVE lanes(id) AS (
            SELECT first.id FROM (
                SELECT endpoint_id AS id FROM webhook_deliveries WHERE {PENDING} ORDER BY endpoint_id LIMIT 1) AS first
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.{PENDING} AND d.endpoint_id > lanes.id
                ORDER BY d.endpoint_id LIMIT 1) FROM lanes WHERE lanes.id IS NOT NULL)
        SELECT e.id, e.user_id, e.failures, first.next_at, (SELECT count(*) FROM webhook_deliveries s WHERE s.endpoint_id = e.id
            AND s.{PENDING} AND s.next_at > :now AND s.next_at <= moment_after(:now, :lease)
            AND s.sending_until > :now) AS sending
        FROM lanes JOIN webhook_endpoints e ON e.id = lanes.id JOIN users u ON u.id = e.user_id
        JOIN webhook_deliveries first ON first.id = (SELECT d.id FROM webhook_deliveries d
            WHERE d.endpoint_id = e.id AND d.{PENDING} AND d.next_at <= :now ORDER BY d.next_at LIMIT 1)
        WHERE e.disabled_at IS NULL AND e.deleted_at IS NULL AND u.disabled_at IS NULL
        ORDER BY CASE WHEN e.failures > 0 THEN 1 ELSE 0 END, first.next_at""",
        now=now,
        lease=lease_seconds,
    ).all()
    chosen: list[str] = []
    of_user = Counter(under_way or {})
    for lane in lanes:
        left = min(room - len(chosen), MOST_OF_USER - of_user[str(lane.user_id)])
        most = min(left, MOST_AT_ONCE - lane.sending) if not lane.failures else min(left, room_failing, 1 - lane.sending)
        if most <= 0:
            continue
        rows = run(
            session,
            f"""SELECT id FROM webhook_deliveries WHERE endpoint_id = :endpoint AND {PENDING} AND next_at <= :now
            ORDER BY next_at, id LIMIT :most""",
            endpoint=str(lane.id),
            now=now,
            most=most,
        ).all()
        chosen += [str(row.id) for row in rows]
        of_user[str(lane.user_id)] += len(rows)
        if lane.failures:
            room_failing -= len(rows)
    return chosen


def claim(session: Session, *, ids: Sequence[str], lease_seconds: float) -> list[Sending]:
    """Take deliveries that are still due in hand; whoever else chose the same ones gets none of them.

    :param lease_seconds: for so long nobody else sends them, whatever becomes of this process.
    """
    now = database_now(session)
    skip = "" if session.get_bind().dialect.name == "sqlite" else "FOR UPDATE OF d SKIP LOCKED"
    due = run(
        session,
        f"""SELECT d.id, d.endpoint_id, e.user_id, e.failures, e.url, e.secret, e.old_secret,
            e.old_secret_until > :now AS is_rotating
        FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
        WHERE d.id {among(session, "ids")} AND d.{PENDING} AND d.next_at <= :now
        AND e.disabled_at IS NULL AND e.deleted_at IS NULL ORDER BY d.id {skip}""",
        ids=many(session, ids),
        now=now,
    ).all()
    claimed = run(
        session,
        f"""UPDATE webhook_deliveries SET claim_no = claim_no + 1, attempts = attempts + 1, tries = tries + 1, tried_at = :now,
            next_at = moment_after(:now, :lease), sending_until = moment_after(:now, :lease)
        WHERE id {among(session, "ids")} AND {PENDING} AND next_at <= :now RETURNING id, claim_no, tries, body""",
        ids=many(session, [str(row.id) for row in due]),
        now=now,
        lease=lease_seconds,
    ).all()
    endpoints = {str(row.id): row for row in due}
    moment = as_instant(now)
    assert moment is not None  # noqa: S101 - a clock always answers
    sendings = []
    for row in claimed:
        endpoint = endpoints[str(row.id)]
        keys = (endpoint.secret, endpoint.old_secret) if endpoint.is_rotating else (endpoint.secret,)
        sendings.append(
            Sending(
                id=str(row.id),
                endpoint_id=str(endpoint.endpoint_id),
                user_id=str(endpoint.user_id),
                is_failing=endpoint.failures > 0,
                claim_no=row.claim_no,
                tries=row.tries,
                url=endpoint.url,
                body=row.body,
                secrets=keys,
                at=moment,
            )
        )
    return sendings


def record(session: Session, answers: Sequence[Answer]) -> None:
    """Write what came of tries; what somebody else has taken in hand since, or was written already, counts for nothing."""
    now = database_now(session)
    release(session, [answer.sending for answer in answers if answer.is_untried])
    tried = sorted((answer for answer in answers if not answer.is_untried), key=lambda answer: answer.sending.id)
    counted = [answer for answer in tried if _note(session, answer, now)]
    for answer in sorted(counted, key=lambda answer: answer.sending.endpoint_id):
        _judge(session, answer, now)


def release(session: Session, sendings: Sequence[Sending]) -> None:
    """Give back what was not sent to its end: it is due at once, and the try does not count."""
    now = database_now(session)
    for sending in sorted(sendings, key=lambda sending: sending.id):
        run(
            session,
            f"""UPDATE webhook_deliveries SET next_at = :now, sending_until = NULL, attempts = attempts - 1, tries = tries - 1
            WHERE id = :id AND claim_no = :claim_no AND {PENDING} AND sending_until IS NOT NULL""",
            id=sending.id,
            claim_no=sending.claim_no,
            now=now,
        )


def _note(session: Session, answer: Answer, now: Any) -> bool:
    status = DeliveryStatus.DELIVERED if answer.error is None else DeliveryStatus.PENDING
    if answer.error is not None and answer.wait_seconds is None:
        status = DeliveryStatus.FAILED
    noted = run(
        session,
        f"""UPDATE webhook_deliveries SET status = :status, sending_until = NULL, response_status = :code, error = :error,
            next_at = moment_after(:now, :wait), delivered_at = moment_after(:now, :taken)
        WHERE id = :id AND claim_no = :claim_no AND {PENDING} AND sending_until IS NOT NULL RETURNING id""",
        id=answer.sending.id,
        claim_no=answer.sending.claim_no,
        status=str(status),
        code=answer.status,
        error=answer.error,
        wait=answer.wait_seconds,
        taken=0.0 if answer.error is None else None,
        now=now,
    )
    return noted.first() is not None


def _judge(session: Session, answer: Answer, now: Any) -> None:
    endpoint_id = answer.sending.endpoint_id
    if answer.error is None:
        run(session, "UPDATE webhook_endpoints SET failures = 0 WHERE id = :id AND failures > 0", id=endpoint_id)
        return
    run(session, "UPDATE webhook_endpoints SET failures = failures + 1 WHERE id = :id", id=endpoint_id)
    if answer.gone is not None:
        webhook_endpoints.disable(session, endpoint_id=endpoint_id, reason=answer.gone, now=now)
