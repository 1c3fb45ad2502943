"""Job lists: what a caller reads of jobs, one or many, whichever way it is asked for."""

from api.dependencies import Caller
from api.pages import Page, after, cursor_after
from api.wire import JobOut, job_out
from persistence import job_lists, job_views
from persistence.database import Database
from persistence.ids import is_id
from persistence.job_lists import Filters


def newest(filters: Filters, caller: Caller, database: Database, *, limit: int, cursor: str | None) -> Page[JobOut]:
    """List the caller's jobs from a cursor on, newest first; a page of large jobs may end before its limit.

    :raises ValidationError: the cursor is not one of this list.
    """
    before = after(cursor, caller)
    if filters.run is not None and not is_id(filters.run):  # nothing can have it
        return Page([], None)
    with database.read() as session:
        ids, more = job_lists.ids(session, user_id=caller.sees, filters=filters, before=before, limit=limit)
        views = job_views.of(session, job_ids=ids, user_id=caller.sees)
    return Page([job_out(view) for view in views], cursor_after(ids[-1], caller) if more else None)


def read_one(database: Database, job_id: str, caller: Caller) -> JobOut:
    """Read a job.

    :raises NotFoundError: the caller has no such job.
    """
    with database.read() as session:
        return job_out(job_views.get(session, job_id=job_id, user_id=caller.sees))
