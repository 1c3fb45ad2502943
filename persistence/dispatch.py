"""Dispatch: who is next, under every limit and in fair order; the one place where slots are taken."""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec
from sqlmodel import Session

from persistence import lanes, pauses, transitions
from persistence.batches import Batch, flag, word
from persistence.counters import Change
from persistence.database import now as database_now
from persistence.statements import run
from persistence.states import Status

_UNKNOWN_COST_SECONDS = 0.1


class Mode(StrEnum):
    """What taking a slot means: the SQL broker claims at once, the others send a message first."""

    CLAIM = "claim"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one process can take on.

    :param worker_id: the claiming worker; with `Mode.SEND` nobody yet.
    :param room: the most jobs to take.
    :param idle: threads that can start at once; jobs of slow types are taken only for these (`Mode.SEND`: for the windows).
    :param types: the job types that the caller knows.
    :param fast: those of them whose attempts are short enough to be claimed ahead of a free thread.
    :param cost_seconds: expected seconds of an attempt by type.
    :param limits: the type limit's name of each type that has one.
    :param beyond: with `Mode.SEND`, how many jobs of fast types may be on their way beyond the window of a queue.
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
    run_id: str | None = None
    run_group: int | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    """What comes with a slot: the charge on its user's clock, its type limit, and whether no thread is free for it yet."""

    charge: float
    limit: str | None
    ahead: bool


@dataclass(slots=True)
class _Room:
    """How many more jobs may be taken: of one queue, or by one process.

    :param now: for which a thread is free, or will soon be.
    :param beyond: further ones, which have to be short.
    """

    now: int
    beyond: int
    is_shut: bool = False

    @property
    def all(self) -> int:
        """Both together."""
        return self.now + self.beyond


def take(session: Session, wanted: Wanted, mode: Mode = Mode.CLAIM, *, may_wait: bool = False) -> list[Taken]:
    """Give slots to the next jobs: users in fair order, each one's best due job first, never over a limit.

    The users' rows are locked in one statement and their jobs chosen in the next: one statement that did both would see
    the jobs as they were before the lock. The guard stands again in the UPDATE, and all counts come from what it returns.

    :param may_wait: whether to wait for one user where all who could be next are locked elsewhere; only for a transaction
        that holds no user's lock yet. Else a busy process, which lets go of its only user for an instant at each commit,
        would keep an idle one from working for as long as the jobs last.
    """
    if wanted.room <= 0 or not wanted.types:
        return []
    pauses.hold(session)
    gates = lanes.gates(session, wanted.queues if mode is Mode.SEND else ())
    if any(pause.is_total for pause in gates.closed):
        return []
    rooms = _rooms(wanted, gates.windows, mode)
    if not rooms:
        return []
    wanted = replace(wanted, room=min(wanted.room, sum(room.all for room in rooms.values())), queues=list(rooms))
    blocked = {kind for kind, limit in wanted.limits.items() if gates.room_of.get(limit, 1) <= 0}
    open_types = sorted(set(wanted.types) - blocked - {pause.type for pause in gates.closed if pause.is_type})
    filters = lanes.Filters(session, wanted.queues, open_types, gates.closed)
    places = lanes.lock(session, wanted.room, filters)
    if not places and may_wait and any(room.now > 0 for room in rooms.values()):
        places = lanes.lock(session, 1, filters, waits=True)
    if not places:
        return []
    waiting, now = lanes.look_at(session, places, wanted.room, filters)
    room_of: dict[str, int] = {}
    limited = {wanted.limits[kind] for lane in waiting for _, kind, _, _ in lane.jobs if kind in wanted.limits}
    if limited:
        room_of = lanes.lock_limits(session, limited)
        now = database_now(session)  # again, after these locks: by the trail's times no limit is ever exceeded either
    chosen = _choose(waiting, wanted, rooms, room_of)
    return _mark(session, chosen, wanted, mode, now) if chosen else []


def _rooms(wanted: Wanted, windows: Mapping[str, int], mode: Mode) -> dict[str, _Room]:
    """Find for each queue the room that it has, if any: one for all where the threads that claim are the room."""
    if mode is Mode.CLAIM:
        return dict.fromkeys(wanted.queues, _Room(wanted.idle, wanted.room - wanted.idle))
    rooms = {queue: _Room(window, wanted.beyond) for queue, window in windows.items()}
    return {queue: room for queue, room in rooms.items() if room.all > 0}


def _choose(waiting: list[lanes.Lane], wanted: Wanted, rooms: Mapping[str, _Room], room_of: dict[str, int]) -> dict[str, _Choice]:
    """Merge the lanes in fair order; a room is shut by the first job that does not fit into it, so that none is overtaken."""
    chosen: dict[str, _Choice] = {}
    order = [(lane.clock, place) for place, lane in enumerate(waiting)]
    heapq.heapify(order)
    next_of = [0] * len(waiting)
    while order and len(chosen) < wanted.room and not all(room.is_shut for room in rooms.values()):
        clock, place = heapq.heappop(order)
        lane = waiting[place]
        job_id, kind, queue, calm = lane.jobs[next_of[place]]
        next_of[place] += 1
        limit, room = wanted.limits.get(kind), rooms[queue]
        if not room.is_shut and (limit is None or room_of.get(limit, 0) > 0):
            ahead = room.now <= 0
            room.is_shut = room.all <= 0 or (ahead and not (calm and kind in wanted.fast))
            if not room.is_shut:
                room.now -= 1
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
    jobs.claim_no, jobs.dispatch_no, jobs.rescues, jobs.subject, jobs.run_id, jobs.run_group"""


def _mark(session: Session, chosen: Mapping[str, _Choice], wanted: Wanted, mode: Mode, now: Any) -> list[Taken]:
    batch = Batch(
        session,
        "b",
        {"id": "uuid", "charge": "float8", "slot_limit": "text"},
        [(job_id, choice.charge, choice.limit) for job_id, choice in chosen.items()],
    )
    claims = mode is Mode.CLAIM
    alive = "AND EXISTS (SELECT 1 FROM workers w WHERE w.id = :worker AND w.dead_at IS NULL)"
    update = f"""UPDATE jobs SET {_CLAIM if claims else _SEND} FROM {batch.sql}
        WHERE jobs.id = b.id AND {word("jobs.status")} = 'queued'
        AND jobs.blocked_by IS NULL AND {flag("jobs.slot")} = 0 {alive if claims else ""}"""
    if claims:
        step = transitions.Step(Status.QUEUED, now)
        rows = transitions.move(session, update, RETURNED, batch=batch, step=step, worker=wanted.worker_id)
    else:
        rows = run(session, f"{update} RETURNING {RETURNED}", now=now, **batch.parameters).all()
    taken = {}
    change = Change()
    for row in rows:
        job = taken_from(row)
        choice = chosen[job.id]
        taken[job.id] = msgspec.structs.replace(job, ahead=True) if choice.ahead else job
        change.ready(job.user_id, -1)
        change.held(job.user_id, 1, choice.limit)
        change.clock(job.user_id, choice.charge)
        if claims:
            change.moved(job.run_id, job.run_group, Status.QUEUED, Status.PROCESSING)
    change.write(session)
    return [taken[job_id] for job_id in chosen if job_id in taken]


def taken_from(row: Any) -> Taken:
    """Make the record of a job from a row of the columns `RETURNED`."""
    job_id, user_id, kind, queue, priority, payload, attempt, max_attempts, claim_no, dispatch_no, rescues, *places = row
    subject, run_id, group = places
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
        run_id=None if run_id is None else str(run_id),
        run_group=group,
    )
