"""Admission: jobs enter here and nowhere else, under their user's limit, each with its first transition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from persistence import copying, counters, positions, run_admission
from persistence.batches import Batch, among, many
from persistence.database import as_instant
from persistence.errors import ConcurrentJobLimitError, GreenroomError, IdempotencyMismatchError, ValidationError
from persistence.ids import new_id
from persistence.jobs import DEFAULT_PRIORITY
from persistence.runs import NewRun
from persistence.statements import later, run
from persistence.states import WaitingFor

# A full user is told to come back after this; nobody knows when a slot will be free.
RETRY_AFTER_SECONDS = 2
_MOMENT = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class Submission:
    """One job as its caller asks for it, already validated.

    :param payload: JSON text, exactly as it will be stored.
    :param run_after: the job is not due before this moment.
    :param depends_on: ids of jobs of the same user that must complete first.
    :param subject: id of the thing that the job is about, such as a book.
    :param id: the job's id, chosen before the first try so that a repeated one can be told from a new one.
    """

    type: str
    queue: str
    payload: str
    max_attempts: int
    priority: int = DEFAULT_PRIORITY
    run_after: datetime | None = None
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    subject: str | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is admitted whole or not at all: one request's jobs.

    :param at_the_door: whether the user's limit is asked; follow-ups of an admitted job are never turned away.
    :param run: a new run that these are the jobs of.
    :param run_id: a run that there is, and that these join.
    """

    user_id: str
    submissions: Sequence[Submission]
    idempotency_key: str | None = None
    request_hash: str | None = None
    at_the_door: bool = True
    run: NewRun | None = None
    run_id: str | None = None


def delayed(submission: Submission, until: datetime) -> Submission:
    """Return the submission with a moment before which it is not due."""
    return replace(submission, run_after=until)


@dataclass(slots=True)
class Admitted:
    """The answer to a unit: its jobs' ids and their positions, in order.

    :param created_at: None when they had been admitted before.
    :param waiting_for: why the first one waits; None when only another look can tell.
    """

    ids: list[str]
    positions: list[int] = field(default_factory=list)
    replayed: bool = False
    created_at: datetime | None = None
    waiting_for: WaitingFor | None = None


_ROW = {
    "id": "uuid",
    "user_id": "uuid",
    "type": "text",
    "queue": "text",
    "payload": "text",
    "priority": "int",
    "max_attempts": "int",
    "run_after": "timestamptz",
    "tags": "text",
    "blocked_by": "text",
    "subject": "uuid",
    "idempotency_key": "text",
    "request_hash": "text",
    "run_id": "uuid",
    "run_group": "bigint",
}


_BLOCKED_BY = list(_ROW).index("blocked_by")


def submit(
    session: Session, units: Sequence[Unit], *, repeated: bool = False, users: counters.LockedUsers | None = None
) -> list[Admitted | GreenroomError]:
    """Admit the jobs of several requests in order of arrival, each request whole or not at all.

    :param repeated: an earlier try ended without an answer from the database: what is in already is not put in again.
    :param users: their users, where this transaction has locked them and changed nothing since.
    :returns: for each unit its jobs, or the error that its caller is to see.
    """
    if not units:
        return []
    users = users or counters.lock_users(session, {unit.user_id for unit in units})
    known = _known_ids(session, units) if repeated else set()
    lanes = positions.Arrivals(session, users.rows, [(u.user_id, s.priority) for u in units for s in u.submissions])
    answers: list[Admitted | GreenroomError] = []
    fresh: list[tuple[Unit, Admitted]] = []
    seen = _known_keys(session, units)
    for unit in units:
        user = users.rows[unit.user_id]
        ids = [submission.id for submission in unit.submissions]
        if ids[0] in known:
            answers.append(Admitted(ids=ids, positions=lanes.add(user, unit.submissions)))
            continue
        key = (unit.user_id, unit.idempotency_key)
        if unit.idempotency_key is not None and key in seen:
            earlier, request_hash = seen[key]
            same = request_hash == unit.request_hash
            answers.append(Admitted(ids=earlier, replayed=True) if same else IdempotencyMismatchError())
            continue
        if unit.at_the_door and user.unfinished + len(ids) > user.max_active:
            answers.append(ConcurrentJobLimitError(limit=user.max_active, retry_after=RETRY_AFTER_SECONDS))
            continue
        if unknown := _unknown_parents(session, unit):
            answers.append(ValidationError(f"depends_on: no such job: {unknown}", field="depends_on"))
            continue
        admitted = Admitted(ids=ids, positions=lanes.add(user, unit.submissions))
        _say_why(unit, admitted, users)
        user.unfinished += len(ids)
        if unit.idempotency_key is not None:
            seen[key] = (admitted.ids, unit.request_hash)
        answers.append(admitted)
        fresh.append((unit, admitted))
    if fresh:
        _insert(session, fresh, users.now)
    return answers


def _known_keys(session: Session, units: Sequence[Unit]) -> dict[tuple[str, str | None], tuple[list[str], str | None]]:
    keyed = [(unit.user_id, unit.idempotency_key) for unit in units if unit.idempotency_key is not None]
    if not keyed:
        return {}
    batch = Batch(session, "b", {"user_id": "uuid", "key": "text"}, keyed)
    rows = run(
        session,
        f"""SELECT j.user_id, j.idempotency_key, j.id, j.request_hash FROM jobs j JOIN {batch.sql}
        ON j.user_id = b.user_id AND j.idempotency_key = b.key AND j.idempotency_key IS NOT NULL""",
        **batch.parameters,
    )
    return {(str(user), key): ([str(job)], request_hash) for user, key, job, request_hash in rows}


def _known_ids(session: Session, units: Sequence[Unit]) -> set[str]:
    rows = run(
        session,
        f"SELECT id FROM jobs WHERE id {among(session, 'ids')}",
        ids=many(session, [unit.submissions[0].id for unit in units]),
    )
    return {str(row.id) for row in rows}


def _unknown_parents(session: Session, unit: Unit) -> str | None:
    own = {submission.id for submission in unit.submissions}
    wanted = {parent for submission in unit.submissions for parent in submission.depends_on} - own
    if not wanted:
        return None
    rows = run(
        session,
        f"SELECT id FROM jobs WHERE user_id = :user AND id {among(session, 'parents')}",
        user=unit.user_id,
        parents=many(session, sorted(wanted)),
    )
    missing = wanted - {str(row.id) for row in rows}
    return min(missing) if missing else None


def _say_why(unit: Unit, admitted: Admitted, users: counters.LockedUsers) -> None:
    """Note why the first job of a unit waits."""
    user, first = users.rows[unit.user_id], unit.submissions[0]
    admitted.created_at = now = as_instant(users.now)
    if first.depends_on:
        admitted.waiting_for = WaitingFor.DEPENDENCY
    elif first.run_after is not None and now is not None and first.run_after > now:
        admitted.waiting_for = WaitingFor.SCHEDULE
    elif users.is_open:
        admitted.waiting_for = WaitingFor.USER_LIMIT if user.held >= user.max_running else WaitingFor.WORKER


def _insert(session: Session, fresh: Iterable[tuple[Unit, Admitted]], now: Any) -> None:
    rows: list[tuple[Any, ...]] = []
    tags: list[tuple[str, str, str]] = []
    parents: list[tuple[str, str]] = []
    change = counters.Change()
    moment = as_instant(now)
    for unit, admitted in fresh:
        change.unfinished(unit.user_id, len(admitted.ids))
        run_admission.enter(session, unit.user_id, unit.submissions, new=unit.run, joined=unit.run_id, change=change, now=now)
        for asked in unit.submissions:
            rows.append(_row(unit, asked, moment))
            tags += [(unit.user_id, tag, asked.id) for tag in dict.fromkeys(asked.tags)]
            parents += [(asked.id, parent) for parent in dict.fromkeys(asked.depends_on)]
            if rows[-1][_BLOCKED_BY] is None:
                change.ready(unit.user_id, 1)
    write = _copy_rows if copying.is_worth_it(session, rows) else _insert_rows
    write(session, rows, now)
    _insert_pairs(session, "tags", {"user_id": "uuid", "tag": "text", "job_id": "uuid"}, tags)
    _insert_pairs(session, "dependencies", {"job_id": "uuid", "parent_id": "uuid"}, parents)
    change.write(session)


def _insert_rows(session: Session, rows: Sequence[Sequence[Any]], now: Any) -> None:
    batch = Batch(session, "b", _ROW, rows)
    insert = f"""INSERT INTO jobs (
            id, user_id, type, queue, status, blocked_by, priority, payload, tags, progress_percent, attempt,
            max_attempts, rescues, claim_no, dispatch_no, resends, seq, slot, charge, run_after, created_at, subject,
            idempotency_key, request_hash, run_id, run_group)
        SELECT b.id, b.user_id, b.type, b.queue, 'queued', b.blocked_by, b.priority, b.payload, b.tags, 0, 0,
            b.max_attempts, 0, 0, 0, 0, 1, false, 0, b.run_after, :now, b.subject, b.idempotency_key, b.request_hash,
            b.run_id, b.run_group
        FROM {batch.sql} WHERE true"""
    trail = "INSERT INTO transitions (job_id, user_id, seq, to_status, attempt, claim_no, at)"
    if session.get_bind().dialect.name == "postgresql":
        # One statement for both, so that each row is sent once.
        both = f"""WITH fresh AS ({insert} RETURNING id, user_id)
            {trail} SELECT id, user_id, 1, 'queued', 0, 0, CAST(:now AS timestamptz) FROM fresh"""
        later(session, both, now=now, **batch.parameters)
        return
    run(session, insert, now=now, **batch.parameters)
    first = f"{trail} SELECT b.id, b.user_id, 1, 'queued', 0, 0, :now FROM {batch.sql} WHERE true"
    run(session, first, now=now, **batch.parameters)


# What every job begins its life with; a copy takes no defaults.
_BEGINNING = {
    "status": "queued",
    "progress_percent": 0,
    "attempt": 0,
    "rescues": 0,
    "claim_no": 0,
    "dispatch_no": 0,
    "resends": 0,
    "seq": 1,
    "slot": False,
    "charge": 0,
}


def _copy_rows(session: Session, rows: Sequence[Sequence[Any]], now: Any) -> None:
    """Do the same with many rows on PostgreSQL."""
    copying.copy(session, "jobs", list(_ROW), rows, constants=_BEGINNING | {"created_at": now})
    begun = [row[:2] for row in rows]
    beginning = {"seq": 1, "to_status": "queued", "attempt": 0, "claim_no": 0, "at": now}
    copying.copy(session, "transitions", ["job_id", "user_id"], begun, constants=beginning)


def _row(unit: Unit, asked: Submission, now: datetime | None) -> tuple[Any, ...]:
    is_first = asked is unit.submissions[0]  # which alone has the key (A6)
    is_ahead = asked.run_after is not None and now is not None and asked.run_after > now
    return (
        asked.id,
        unit.user_id,
        asked.type,
        asked.queue,
        asked.payload,
        asked.priority,
        asked.max_attempts,
        asked.run_after and asked.run_after.astimezone(UTC).strftime(_MOMENT),
        "\n".join(asked.tags) or None,
        "dependency" if asked.depends_on else "schedule" if is_ahead else None,
        asked.subject,
        unit.idempotency_key if is_first else None,
        unit.request_hash if is_first else None,
        run_id := unit.run.id if unit.run else unit.run_id,
        run_admission.group_of(asked.tags) if run_id else None,
    )


def _insert_pairs(session: Session, table: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    batch = Batch(session, "b", columns, rows)
    names = ", ".join(columns)
    later(session, f"INSERT INTO {table} ({names}) SELECT {names} FROM {batch.sql} WHERE true", **batch.parameters)
