"""Pruning: finished jobs are deleted when their retention is over, and books that were deleted once nothing holds them."""

from sqlmodel import Session

from persistence import scans
from persistence.batches import among, many
from persistence.database import now as database_now
from persistence.jobs import EXPIRING
from persistence.runs import DELETED, OVER
from persistence.statements import run

# What a lost parent's dependants are to be cancelled for must be there until they are: without it they would be let go.
_AWAITED = """EXISTS (SELECT 1 FROM dependencies d WHERE d.parent_id = jobs.id
    AND (SELECT c.status = 'queued' AND c.blocked_by = 'dependency' FROM jobs c WHERE c.id = d.job_id))"""
# SQLite gives the number of a transition that was deleted to the next one, if it was the newest: for webhooks and streams of
# events, which follow the trail by its numbers, that next one would be an old one. Its job stays until something has happened.
_NOT_NEWEST = "AND id <> (SELECT job_id FROM transitions ORDER BY transitions.id DESC LIMIT 1)"

# What is deleted before its retention is over may have events that were not read yet, as long as an old transaction runs.
_TOLD = """NOT EXISTS (SELECT 1 FROM webhook_endpoints e JOIN webhook_cursor c ON c.number = 1
    JOIN transitions t ON t.job_id = jobs.id AND (t.xid, t.id) > (c.xid, c.transition_id)
    WHERE e.user_id = jobs.user_id AND e.disabled_at IS NULL AND e.deleted_at IS NULL)"""


def prune(session: Session, *, older_than_seconds: float, most: int = 500) -> int:
    """Delete a chunk of what has been finished for long enough; only final jobs without a slot that no job waits for.

    :param most: so many jobs, and books and runs, of each reason to delete them; it bounds how long their rows are locked.
    :returns: how many jobs.
    """
    # Locked in a statement of their own: whoever makes a job wait for one of them now is seen by the next one, or comes too late.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    lock = "" if is_sqlite else "FOR UPDATE OF jobs SKIP LOCKED"
    age = {"now": database_now(session), "age": -older_than_seconds}
    old = run(
        session,
        f"""SELECT id FROM jobs WHERE {EXPIRING} AND finished_at < moment_after(:now, :age) AND NOT slot
        AND NOT {_AWAITED} ORDER BY finished_at LIMIT :most {lock}""",
        **age,
        most=most,
    ).all()
    # CROSS JOIN keeps SQLite from going through all that has ever finished, to look for each one's run or book.
    of_runs = run(
        session,
        f"""SELECT jobs.id FROM runs r CROSS JOIN jobs WHERE jobs.run_id = r.id AND jobs.run_id IS NOT NULL
        AND r.{DELETED} AND jobs.finished_at IS NOT NULL AND NOT jobs.slot AND NOT {_AWAITED} AND {_TOLD} LIMIT :most {lock}""",
        most=most,
    ).all()
    unwanted = run(
        session,
        f"""SELECT jobs.id FROM books b CROSS JOIN jobs WHERE jobs.subject = b.id AND jobs.subject IS NOT NULL
        AND b.deleted_at IS NOT NULL AND jobs.run_id IS NULL AND jobs.finished_at IS NOT NULL AND NOT jobs.slot AND NOT {_AWAITED}
        AND {_TOLD} LIMIT :most {lock}""",
        most=most,
    ).all()
    ids = many(session, [str(row.id) for row in (*old, *unwanted, *of_runs)])
    deleted = run(
        session,
        f"""DELETE FROM jobs WHERE id {among(session, "ids")} AND finished_at IS NOT NULL AND NOT slot AND NOT {_AWAITED}
        {_NOT_NEWEST if is_sqlite else ""} RETURNING id""",
        ids=ids,
    ).all()
    if deleted:
        gone = many(session, [str(row.id) for row in deleted])
        if is_sqlite:
            run(session, f"DELETE FROM transitions WHERE job_id {among(session, 'ids')}", ids=gone)
        else:
            # The audit trail takes a DELETE from this function only, and only of jobs that are gone.
            run(session, "SELECT prune_transitions(CAST(:ids AS uuid[]))", ids=gone)
    run(
        session,
        """DELETE FROM books WHERE deleted_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.subject = books.id AND j.subject IS NOT NULL)""",
    )
    scans.prune(session, older_than_seconds=older_than_seconds, now=age["now"])
    run(
        session,
        f"""DELETE FROM runs WHERE {DELETED}
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = runs.id AND j.run_id IS NOT NULL)""",
    )
    # A run goes as a whole, so that until then its counters are those of its jobs. Last of all, as runs' rows are always locked:
    # its jobs follow in the next chunk.
    run(
        session,
        f"""UPDATE runs SET deleted_at = :now WHERE id IN (SELECT id FROM runs
            WHERE {OVER} AND finished_at < moment_after(:now, :age) AND deleted_at IS NULL ORDER BY finished_at LIMIT :most)
        AND {OVER} AND finished_at < moment_after(:now, :age) AND deleted_at IS NULL""",
        **age,
        most=most,
    )
    return len(deleted)
