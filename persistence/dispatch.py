"""Dispatch: who is next, under every limit and in fair order; the one place where slots are taken."""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec
from sqlmodel import Session

from persistence import pauses, transitions
from persistence.batches import Batch, among, flag, many, run, word
from persistence.counters import Change
from persistence.database import now as database_now
from persistence.states import Status

# Each user's share of what is looked at: twice the even share, so that the fair order has something to choose from.
_LOOK_AHEAD = 2
_UNKNOWN_COST_SECONDS = 0.1
_WINDOW = 2


class Mode(StrEnum):
    """What taking a slot means: the SQL broker claims at once, the others send a message first."""

    CLAIM = "claim"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one process can take on.

    :param worker_id: the claiming worker; with `Mode.SEND` nobody yet.
    :param room: the most jobs to take.
    :param idle: threads that can start at once; jobs of slow types are taken only for these (`Mode.SEND`: for the window).
    :param types: the job types that the caller knows.
    :param fast: those of them whose attempts are short enough to be claimed ahead of a free thread.
    :param cost_seconds: expected seconds of an attempt by type.
    :param limits: the type limit's name of each type that has one.
    :param beyond: with `Mode.SEND`, how many jobs of fast types may be on their way beyond the window.
    """

    worker_id: str | None
    queues: Collection[str]
    types: Collection[str]
    room: int
    idle: int
    fast: Collection[str] = ()
    cost_seconds: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    beyond: int = 0


class Taken(msgspec.Struct, frozen=True):
    """A job that was given a slot; with `Mode.CLAIM` it is the claim itself."""

    id: str
    user_id: str
    type: str
    queue: str
    priority: int
    payload: str
    attempt: int
    max_attempts: int
    claim_no: int
    dispatch_no: int
    rescues: int
    subject: str | None
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class _Choice:
    """What comes with a slot: the charge on its user's clock, its type limit, and whether no thread is free for it yet."""

    charge: float
    limit: str | None
    ahead: bool


@dataclass(slots=True)
class _Lane:
    """One user's place in the fair order while a batch is put together."""

    user_id: str
    clock: float
    weight: int
    jobs: list[tuple[str, str, bool]]


def take(session: Session, wanted: Wanted, mode: Mode = Mode.CLAIM) -> list[Taken]:
    """Give slots to the next jobs: users in fair order, each one's best due job first, never over a limit.

    The users' rows are locked in one statement and their jobs chosen in the next: one statement that did both would see
    the jobs as they were before the lock. The guard stands again in the UPDATE, and all counts come from what it returns.
    """
    if mode is Mode.SEND:
        room = _window(session, wanted.queues)
        wanted = replace(wanted, room=min(wanted.room, room + wanted.beyond), idle=max(0, room))
    if wanted.room <= 0 or not wanted.types:
        return []
    pauses.hold(session)
    closed, room_of = _gates(session)
    if any(pause.is_total for pause in closed):
        return []
    blocked = {kind for kind, limit in wanted.limits.items() if room_of.get(limit, 1) <= 0}
    open_types = sorted(set(wanted.types) - blocked - {pause.type for pause in closed if pause.is_type})
    filters = _Filters(session, wanted.queues, open_types, closed)
    places = _lock_lanes(session, wanted.room, filters)
    if not places:
        return []
    lanes, now = _look_at(session, places, wanted.room, filters)
    limited = {wanted.limits[kind] for lane in lanes for _, kind, _ in lane.jobs if kind in wanted.limits}
    if limited:
        room_of = _lock_limits(session, limited)
        now = database_now(session)  # again, after these locks: by the trail's times no limit is ever exceeded either
    chosen = _choose(lanes, wanted, room_of if limited else {})
    return _mark(session, chosen, wanted, mode, now) if chosen else []


def _window(session: Session, queues: Collection[str]) -> int:
    """Count how many more messages may be on their way: twice what live workers can work on; so order is decided late."""
    sql = f"SELECT count(*) FROM jobs WHERE status = 'queued' AND slot AND queue {among(session, 'queues', 'text')}"
    sent = run(session, sql, queues=many(session, sorted(queues))).scalar_one()
    threads = run(session, "SELECT coalesce(sum(threads), 0) FROM workers WHERE dead_at IS NULL").scalar_one()
    return int(_WINDOW * threads - sent)


class _Filters:
    """The part of a WHERE clause that says which jobs of a lane may be taken now."""

    def __init__(
        self, session: Session, queues: Collection[str], types: Collection[str], closed: Collection[pauses.Scope]
    ) -> None:
        conditions = [
            "j.status = 'queued' AND j.blocked_by IS NULL AND NOT j.slot",
            f"j.queue {among(session, 'queues', 'text')}",
            f"j.type {among(session, 'types', 'text')}",
        ]
        self.parameters: dict[str, Any] = {"queues": many(session, sorted(queues)), "types": many(session, list(types))}
        for number, pause in enumerate(closed):
            if pause.is_type:
                continue
            words = []
            for column, value in (("type", pause.type), ("user_id", pause.user_id), ("queue", pause.queue)):
                if value:
                    words.append(f"j.{column} = :pause_{column}_{number}")
                    self.parameters[f"pause_{column}_{number}"] = value
            conditions.append(f"NOT ({' AND '.join(words)})")
        self.sql = " AND ".join(conditions)


def _gates(session: Session) -> tuple[list[pauses.Scope], dict[str, int]]:
    """Read what is paused and how much room each type limit has, at once, for this is asked at every turn of every ledger."""
    rows = run(
        session,
        """SELECT type, user_id, queue, -1 FROM pauses UNION ALL SELECT name, '', '', greatest(max_held - held, 0)
        FROM type_limits""",
    ).all()
    closed = [pauses.Scope(*row[:3]) for row in rows if row[3] < 0]
    return closed, {row[0]: row[3] for row in rows if row[3] >= 0}


def _lock_lanes(session: Session, room: int, filters: _Filters) -> dict[str, tuple[float, int, int]]:
    # Not EXISTS, which PostgreSQL may turn into a join with all lanes of everybody.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    rows = run(
        session,
        f"""SELECT u.id, u.vtime, t.weight, t.max_running - u.held FROM users u JOIN tiers t ON t.name = u.tier
        WHERE u.ready > 0 AND u.held < t.max_running
        AND (SELECT 1 FROM jobs j WHERE j.user_id = u.id AND {filters.sql} LIMIT 1) = 1
        ORDER BY u.vtime LIMIT :room {"" if is_sqlite else "FOR NO KEY UPDATE OF u SKIP LOCKED"}""",
        room=room,
        **filters.parameters,
    )
    return {str(user): (clock, weight, slots) for user, clock, weight, slots in rows}


def _lock_limits(session: Session, names: Collection[str]) -> dict[str, int]:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    rows = run(
        session,
        f"""SELECT name, max_held - held FROM type_limits WHERE name {among(session, "names", "text")} ORDER BY name
        {"" if is_sqlite else "FOR NO KEY UPDATE"}""",
        names=many(session, sorted(names)),
    )
    return dict(rows.all())


def _look_at(
    session: Session, places: Mapping[str, tuple[float, int, int]], room: int, filters: _Filters
) -> tuple[list[_Lane], Any]:
    """Read the best jobs of the lanes whose users are locked, and the time after those locks."""
    share = max(1, -(-_LOOK_AHEAD * room // len(places)))
    found = {user_id: _Lane(user_id, clock, weight, []) for user_id, (clock, weight, _) in places.items()}
    best = f"""SELECT j.user_id, j.id, j.type, j.rescues = 0 AND j.max_attempts - j.attempt >= 2 AS calm, clock_timestamp() AS now
        FROM jobs j
        WHERE j.user_id = {{user}} AND {filters.sql} ORDER BY j.priority DESC, j.id LIMIT {{slots}}"""
    asked = [(user_id, min(slots, share)) for user_id, (_, _, slots) in places.items()]
    if session.get_bind().dialect.name == "sqlite":
        # SQLite has no LATERAL, and its LIMIT takes no column; a query there is a function call, so one a lane will do.
        one = best.format(user=":user", slots=":slots")
        rows = [row for user, slots in asked for row in run(session, one, user=user, slots=slots, **filters.parameters)]
    else:
        batch = Batch(session, "l", {"user_id": "uuid", "slots": "int"}, asked)
        every = f"""SELECT c.* FROM {batch.sql} CROSS JOIN LATERAL ({best.format(user="l.user_id", slots="l.slots")}) c"""
        rows = run(session, every, **batch.parameters, **filters.parameters).all()
    now = None
    for user_id, job_id, kind, calm, now in rows:  # noqa: B007 - the last row's time is the latest
        found[str(user_id)].jobs.append((str(job_id), kind, bool(calm)))
    return [lane for lane in found.values() if lane.jobs], now


def _choose(lanes: list[_Lane], wanted: Wanted, room_of: dict[str, int]) -> dict[str, _Choice]:
    """Merge the lanes in fair order; stop where the next job needs a thread that is not idle, so that none is overtaken."""
    chosen: dict[str, _Choice] = {}
    order = [(lane.clock, place) for place, lane in enumerate(lanes)]
    heapq.heapify(order)
    next_of = [0] * len(lanes)
    while order and len(chosen) < wanted.room:
        clock, place = heapq.heappop(order)
        lane = lanes[place]
        job_id, kind, calm = lane.jobs[next_of[place]]
        next_of[place] += 1
        limit = wanted.limits.get(kind)
        if limit is None or room_of.get(limit, 0) > 0:
            ahead = len(chosen) >= wanted.idle
            if ahead and not (calm and kind in wanted.fast):
                break
            if limit is not None:
                room_of[limit] -= 1
            charge = wanted.cost_seconds.get(kind, _UNKNOWN_COST_SECONDS) / lane.weight
            chosen[job_id] = _Choice(charge, limit, ahead)
            clock += charge
        if next_of[place] < len(lane.jobs):
            heapq.heappush(order, (clock, place))
    return chosen


_CLAIM = """status = 'processing', slot = true, slot_limit = b.slot_limit, charge = b.charge, worker_id = :worker,
    attempt = jobs.attempt + 1, claim_no = jobs.claim_no + 1, dispatch_no = jobs.dispatch_no + 1, seq = jobs.seq + 1,
    resends = 0, dispatched_at = :now, started_at = :now, progress_percent = 0, progress_note = NULL"""
_SEND = """slot = true, slot_limit = b.slot_limit, charge = b.charge, dispatch_no = jobs.dispatch_no + 1, resends = 0,
    dispatched_at = :now, worker_id = NULL"""
RETURNED = """jobs.id, jobs.user_id, jobs.type, jobs.queue, jobs.priority, jobs.payload, jobs.attempt, jobs.max_attempts,
    jobs.claim_no, jobs.dispatch_no, jobs.rescues, jobs.subject"""


def _mark(session: Session, chosen: Mapping[str, _Choice], wanted: Wanted, mode: Mode, now: Any) -> list[Taken]:
    batch = Batch(
        session,
        "b",
        {"id": "uuid", "charge": "float8", "slot_limit": "text"},
        [(job_id, choice.charge, choice.limit) for job_id, choice in chosen.items()],
    )
    claims = mode is Mode.CLAIM
    alive = "AND EXISTS (SELECT 1 FROM workers w WHERE w.id = :worker AND w.dead_at IS NULL)"
    rows = run(
        session,
        f"""UPDATE jobs SET {_CLAIM if claims else _SEND} FROM {batch.sql}
        WHERE jobs.id = b.id AND {word("jobs.status")} = 'queued'
        AND jobs.blocked_by IS NULL AND {flag("jobs.slot")} = 0 {alive if claims else ""} RETURNING {RETURNED}""",
        now=now,
        **({"worker": wanted.worker_id} if claims else {}),
        **batch.parameters,
    )
    taken = {}
    change = Change()
    for row in rows:
        job = taken_from(row)
        choice = chosen[job.id]
        taken[job.id] = msgspec.structs.replace(job, ahead=True) if choice.ahead else job
        change.ready(job.user_id, -1)
        change.held(job.user_id, 1, choice.limit)
        change.clock(job.user_id, choice.charge)
    change.write(session)
    if claims:
        transitions.record(session, list(taken), before=Status.QUEUED, now=now)
    return [taken[job_id] for job_id in chosen if job_id in taken]


def taken_from(row: Any) -> Taken:
    """Make the record of a job from a row of the columns `RETURNED`."""
    job_id, user_id, kind, queue, priority, payload, attempt, max_attempts, claim_no, dispatch_no, rescues, subject = row
    return Taken(
        str(job_id),
        str(user_id),
        kind,
        queue,
        priority,
        payload,
        attempt,
        max_attempts,
        claim_no,
        dispatch_no,
        rescues,
        None if subject is None else str(subject),
    )
