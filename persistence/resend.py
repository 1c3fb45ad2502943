"""Re-sending: a message that was never claimed is sent again, or its job goes back to the lane."""

from collections.abc import Sequence

from sqlmodel import Session

from persistence import counters
from persistence.batches import among, many
from persistence.database import now as database_now
from persistence.dispatch import RETURNED, Taken, taken_from
from persistence.statements import run

_CHUNK = 1000
_MOST_DOUBLINGS = 5


def overdue(session: Session, *, after_seconds: float) -> list[Taken]:
    """Note that the messages which nobody claimed in time are sent again, under the same number.

    A new number would starve a consumer that is slower than the re-send; the wait doubles with each re-send of a job. Jobs
    that are locked are left out: they are being claimed just now, or by a process that was frozen in the middle of it.
    """
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR UPDATE SKIP LOCKED"
    doublings = " ".join(f"WHEN {count} THEN {2**count}" for count in range(_MOST_DOUBLINGS))
    waits = f"CASE resends {doublings} ELSE {2**_MOST_DOUBLINGS} END"
    rows = run(
        session,
        f"""WITH chosen AS MATERIALIZED (
            SELECT id FROM jobs WHERE status = 'queued' AND slot AND moment_after(dispatched_at, :after * {waits}) <= :now
            ORDER BY dispatched_at LIMIT {_CHUNK} {lock})
        UPDATE jobs SET resends = resends + 1, dispatched_at = :now WHERE id IN (SELECT id FROM chosen)
        AND status = 'queued' AND slot RETURNING {RETURNED}""",
        after=float(after_seconds),
        now=database_now(session),
    )
    return [taken_from(row) for row in rows]


def take_back(session: Session, *, job_ids: Sequence[str] | None = None, run_id: str | None = None) -> int:
    """Return dispatched jobs that nobody claimed to their lanes: all of them, those that are named, or those of a run.

    The SQL broker has no messages, so what another broker left dispatched would wait for ever; a pause takes back what
    was dispatched before it.

    :returns: how many.
    """
    named = f"AND id {among(session, 'ids')}" if job_ids is not None else ""
    parameters = {} if job_ids is None else {"ids": many(session, job_ids)}
    if run_id is not None:
        named += " AND run_id = :run"
        parameters["run"] = run_id
    rows = run(
        session,
        f"SELECT id, user_id FROM jobs WHERE status = 'queued' AND slot {named} LIMIT {_CHUNK}",
        **parameters,
    ).all()
    if not rows:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in rows}, skip_locked=True)
    change = counters.Change()
    returned = run(
        session,
        f"""UPDATE jobs SET slot = false, dispatched_at = NULL WHERE id {among(session, "chosen")} AND status = 'queued' AND slot
        RETURNING user_id, slot_limit, charge""",
        chosen=many(session, [str(row.id) for row in rows if str(row.user_id) in users.rows]),
    ).all()
    for user_id, limit, charge in returned:
        user = str(user_id)
        change.held(user, -1, limit)
        change.clock(user, -charge)
        change.ready(user, 1)
    change.write(session)
    return len(returned)
