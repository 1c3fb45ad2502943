"""The feed of events: transitions in an order in which nothing is ever committed behind a reader's back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from persistence.batches import Batch, among, many
from persistence.database import as_instant
from persistence.statements import run
from persistence.states import Status

# A place behind all transitions of its number.
LAST_ID = 2**63 - 1


class Position(NamedTuple):
    """A place in the order of all transitions; what stands at it and before it has been read.

    On PostgreSQL ids are handed out before their transactions commit, so the order is the transaction's number first, and a
    reader stops before the oldest transaction that still runs. On SQLite, where one transaction writes at a time, `xid` is 0.
    """

    xid: int
    id: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One transition as the feed tells it.

    :param error: JSON text.
    """

    position: Position
    job_id: str
    user_id: str
    type: str
    seq: int
    before: str | None
    to: str
    attempt: int
    at: datetime | None
    worker: str | None
    reason: str | None
    error: str | None

    @property
    def event(self) -> str:
        """The name under which the step is told, such as job.completed."""
        if self.to == Status.QUEUED:
            return "job.retrying" if self.before == Status.PROCESSING else "job.enqueued"
        return "job.active" if self.to == Status.PROCESSING else f"job.{self.to}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job that is being processed says it is."""

    job_id: str
    user_id: str
    type: str
    attempt: int
    percent: float
    note: str | None


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose transitions are wanted: those of some jobs, of some users, or all."""

    jobs: Collection[str] = ()
    users: Collection[str] = ()
    everybody: bool = False


def here(session: Session) -> Position:
    """Tell the place up to which everything has been committed or rolled back."""
    if session.get_bind().dialect.name == "sqlite":
        return Position(0, run(session, "SELECT coalesce(max(id), 0) FROM transitions").scalar_one())
    oldest = run(session, f"SELECT {_OLDEST_RUNNING}").scalar_one()
    return Position(oldest - 1, LAST_ID)


def read(
    session: Session, *, after: Position, watched: Watched, limit: int = 2000, end: Position | None = None
) -> tuple[list[Step], Position]:
    """Read on from a place.

    :param end: how far to read, a place that `here` has told; None for as far as can be.
    :returns: the steps that are wanted, in the order of the feed, and the place from which to read on.
    """
    end = here(session) if end is None else end
    if end <= after:
        return [], after
    conditions, parameters = _wanted(session, watched, "t.user_id", "t.job_id")
    rows = run(
        session,
        f"""SELECT {_STEP} WHERE (t.xid, t.id) > (:xid, :id) AND (t.xid, t.id) <= (:last_xid, :last_id) {conditions}
        ORDER BY t.xid, t.id LIMIT :limit""",
        xid=after.xid,
        id=after.id,
        last_xid=end.xid,
        last_id=end.id,
        limit=limit,
        **parameters,
    ).all()
    steps = [_step(row) for row in rows]
    return steps, steps[-1].position if len(steps) == limit else end


def causes(session: Session, *, of: Sequence[Step], after: Position) -> list[Step]:
    """Find the steps that came before some steps of the same jobs and stand behind them in the order of the feed.

    A transaction may be older than one whose work it goes on with: its number is then the smaller one.

    :param after: the place up to which everything is known.
    """
    known = {(step.job_id, step.seq) for step in of}
    asked = [(step.job_id, step.seq - 1) for step in of if step.seq > 1 and (step.job_id, step.seq - 1) not in known]
    found: list[Step] = []
    while asked:
        batch = Batch(session, "b", {"job_id": "uuid", "seq": "int"}, asked)
        rows = run(
            session,
            f"""SELECT {_STEP} JOIN {batch.sql} ON b.job_id = t.job_id AND b.seq = t.seq
            WHERE (t.xid, t.id) > (:xid, :id)""",
            xid=after.xid,
            id=after.id,
            **batch.parameters,
        )
        late = [_step(row) for row in rows]
        found += late
        asked = [(step.job_id, step.seq - 1) for step in late if step.seq > 1]
    return found


def of_job(session: Session, *, job_id: str, after: int = 0) -> list[Step]:
    """List the transitions of one job in the order in which they happened.

    :param after: the `seq` after which to begin.
    """
    rows = run(session, f"SELECT {_STEP} WHERE t.job_id = :job AND t.seq > :after ORDER BY t.seq", job=job_id, after=after)
    return [_step(row) for row in rows]


def progress(session: Session, *, watched: Watched) -> list[Progress]:
    """Read the progress of the wanted jobs that are being processed and have said anything."""
    conditions, parameters = _wanted(session, watched, "j.user_id", "j.id")
    # All that is being processed holds a slot, and slots have an index of their own.
    slots = "j.slot AND" if watched.everybody else ""
    rows = run(
        session,
        f"""SELECT j.id, j.user_id, j.type, j.attempt, j.progress_percent, j.progress_note FROM jobs j
        WHERE {slots} j.status = 'processing' AND (j.progress_percent > 0 OR j.progress_note IS NOT NULL) {conditions}""",
        **parameters,
    )
    return [Progress(str(job), str(user), *rest) for job, user, *rest in rows]


# Read as text: the number is an unsigned one of 64 bits, which no driver knows.
_OLDEST_RUNNING = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
_STEP = """t.xid, t.id, t.job_id, t.user_id, j.type, t.seq, t.from_status, t.to_status, t.attempt, t.at, t.worker_id,
    t.reason, t.error FROM transitions t JOIN jobs j ON j.id = t.job_id"""


def _step(row: Sequence[Any]) -> Step:
    xid, id_, job, user, kind, seq, before, to, attempt, at, worker, reason, error = row
    return Step(
        Position(xid, id_),
        str(job),
        str(user),
        kind,
        seq,
        before,
        to,
        attempt,
        as_instant(at),
        None if worker is None else str(worker),
        reason,
        error,
    )


def _wanted(session: Session, watched: Watched, user: str, job: str) -> tuple[str, dict[str, Any]]:
    if watched.everybody:
        return "", {}
    words, parameters = [], {}
    if watched.users:
        words.append(f"{user} {among(session, 'users')}")
        parameters["users"] = many(session, sorted(watched.users))
    if watched.jobs:
        words.append(f"{job} {among(session, 'jobs')}")
        parameters["jobs"] = many(session, sorted(watched.jobs))
    return (f"AND ({' OR '.join(words)})", parameters) if words else ("AND false", {})
