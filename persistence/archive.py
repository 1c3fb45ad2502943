"""The archive: jobs that have been finished for a while are passed by where jobs are counted, and stay readable."""

from sqlmodel import Session

from persistence.batches import among, many
from persistence.database import now as database_now
from persistence.jobs import FRESH
from persistence.statements import run


def archive(session: Session, *, older_than_seconds: float, most: int) -> int:
    """Archive the jobs that finished first, if long enough ago; none that still holds a slot.

    :param most: so many jobs at most, which bounds how long their rows are locked.
    :returns: how many jobs.
    """
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR UPDATE SKIP LOCKED"
    now = database_now(session)
    old = run(
        session,
        f"""SELECT id FROM jobs WHERE {FRESH} AND finished_at < moment_after(:now, :age) AND NOT slot
        ORDER BY finished_at LIMIT :most {lock}""",
        now=now,
        age=-older_than_seconds,
        most=most,
    ).all()
    if not old:
        return 0
    # Nothing was sent: no transition, no event, and `seq` stays, for the job stands as it stood.
    return run(
        session,
        f"UPDATE jobs SET archived_at = :now WHERE id {among(session, 'ids')} AND {FRESH}",
        now=now,
        ids=many(session, [str(row.id) for row in old]),
    ).rowcount
