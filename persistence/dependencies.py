"""Dependencies: jobs that wait for others are let go once all of those have completed.

Once one of them cannot complete any more, they are cancelled, unless their run says that they fail, too, or go on without it.
"""

from collections.abc import Sequence

from sqlmodel import Session

from persistence import cancellation, counters, unstarted
from persistence.batches import among, many
from persistence.jobs import DEPENDANT
from persistence.statements import run

# A job's own rows first and each parent by its key, whatever the statistics of another run's dependencies make of a join: one
# that began with the parents went through thousands of jobs for each of thousands.
_PARENT = "SELECT 1 FROM dependencies d WHERE d.job_id = jobs.id AND (SELECT {} FROM jobs p WHERE p.id = d.parent_id)"
_GOES_ON = "EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run_id AND r.on_failure = 'continue')"
# In a run whose jobs go on without those that have failed, a parent that has ended is as good as one that has completed.
_HOLDS = f"p.status <> 'completed' AND (p.status IN ('queued', 'processing') OR NOT {_GOES_ON})"
UNFINISHED_PARENT = f"EXISTS ({_PARENT.format(_HOLDS)})"
_IS_LOST = "p.status IN ('failed', 'cancelled')"
_LOST_PARENT = f"(EXISTS ({_PARENT.format(_IS_LOST)}) AND NOT {_GOES_ON})"
_FAILED_PARENT = """(SELECT d.parent_id FROM dependencies d WHERE d.job_id = jobs.id
    AND (SELECT p.status FROM jobs p WHERE p.id = d.parent_id) = 'failed'
    AND EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run_id AND r.on_failure = 'fail') LIMIT 1)"""

REASON = "dependency failed"
DEPENDENCY_FAILED = "DependencyFailed"


def settle(session: Session, *, limit: int = cancellation.CHUNK, parents: Sequence[str] | None = None) -> int:
    """Move the dependants whose parents have all completed, or of which one was lost, after those have committed.

    A completion never touches its dependants: two parents that end at once would each see the other as unfinished. This runs
    in a transaction of its own, reads the parents after it has locked the dependants' users, and misses nothing.

    :param limit: the most jobs to move.
    :param parents: look only at what waits for these jobs; None looks at all that waits.
    :returns: how many jobs were moved; a caller goes on until it is 0, for a cancelled job may have dependants too.
    """
    of_these = (
        "" if parents is None else f"id IN (SELECT job_id FROM dependencies WHERE parent_id {among(session, 'parents')}) AND"
    )
    rows = run(
        session,
        f"""SELECT id, user_id FROM jobs WHERE {of_these} {DEPENDANT} AND ({_LOST_PARENT} OR NOT {UNFINISHED_PARENT})
        ORDER BY id LIMIT :limit""",
        limit=limit,
        **({} if parents is None else {"parents": many(session, parents)}),
    ).all()
    if not rows:
        return 0
    users = counters.lock_users(session, {str(row.user_id) for row in rows}, skip_locked=True)
    ids = [str(row.id) for row in rows if str(row.user_id) in users.rows]
    freed = run(
        session,
        f"""UPDATE jobs SET blocked_by = CASE WHEN run_after > :now THEN 'schedule' END
        WHERE id {among(session, "ids")} AND {DEPENDANT} AND NOT {UNFINISHED_PARENT} RETURNING id, user_id, blocked_by""",
        ids=many(session, ids),
        now=users.now,
    ).all()
    change = counters.Change()
    for _, user_id, blocked_by in freed:
        if blocked_by is None:
            change.ready(str(user_id), 1)
    change.write(session)
    lost = run(
        session,
        f"""SELECT id, {_FAILED_PARENT} AS failed_parent FROM jobs WHERE id {among(session, "ids")} AND {DEPENDANT}
        AND {_LOST_PARENT}""",
        ids=many(session, ids),
    ).all()
    messages = {
        str(row.id): f"the job {row.failed_parent}, which this one depends on, has failed"
        for row in lost
        if row.failed_parent is not None
    }
    failed = 0
    if messages:
        failed = unstarted.fail(
            session,
            messages,
            users,
            guard="blocked_by = 'dependency'",
            kind=DEPENDENCY_FAILED,
            place="",
            reason=REASON,
        )
    others = [str(row.id) for row in lost if row.failed_parent is None]
    return len(freed) + failed + len(cancellation.cancel_many(session, job_ids=others, user_id=None, reason=REASON))
