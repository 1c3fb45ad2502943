"""Lanes: who waits for what, which of it may be taken now, and the locks under which it is taken."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from persistence import pauses
from persistence.batches import Batch, among, many, word
from persistence.runs import HELD_BACK
from persistence.statements import run

# Each user's share of what is looked at: twice the even share, so that the fair order has something to choose from.
_LOOK_AHEAD = 2
_WINDOW = 2


@dataclass(slots=True)
class Lane:
    """One user's place in the fair order while a batch is put together.

    :param jobs: of each its id, type and queue, and whether it may be claimed ahead.
    """

    user_id: str
    clock: float
    weight: int
    jobs: list[tuple[str, str, str, bool]]


class Filters:
    """The part of a WHERE clause that says which jobs of a lane may be taken now."""

    def __init__(
        self, session: Session, queues: Collection[str], types: Collection[str], closed: Collection[pauses.Scope]
    ) -> None:
        conditions = [
            "j.status = 'queued' AND j.blocked_by IS NULL AND NOT j.slot",
            f"j.queue {among(session, 'queues', 'text')}",
            # The type is asked of each row of a lane: the index by type holds all that the user has ever submitted.
            f"{word('j.type')} {among(session, 'types', 'text')}",
        ]
        self.parameters: dict[str, Any] = {"queues": many(session, sorted(queues)), "types": many(session, list(types))}
        for number, pause in enumerate(closed):
            if pause.is_type or pause.run_id:
                continue
            words = []
            for column, value in (("type", pause.type), ("user_id", pause.user_id), ("queue", pause.queue)):
                if value:
                    words.append(f"j.{column} = :pause_{column}_{number}")
                    self.parameters[f"pause_{column}_{number}"] = value
            conditions.append(f"NOT ({' AND '.join(words)})")
        if held_back := [pause.run_id for pause in closed if pause.run_id]:
            conditions.append(f"(j.run_id IS NULL OR NOT j.run_id {among(session, 'held_back')})")
            self.parameters["held_back"] = many(session, held_back)
        self.sql = " AND ".join(conditions)


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands before all lanes.

    :param closed: what is paused.
    :param room_of: by the name of a type limit, how many more attempts it has room for.
    :param windows: by queue, how many more messages may be on their way.
    """

    closed: list[pauses.Scope]
    room_of: dict[str, int]
    windows: dict[str, int]


def gates(session: Session, queues: Collection[str] = ()) -> Gates:
    """Read the gates, at once, for this is asked at every turn of every ledger.

    :param queues: of which the windows are wanted. A window is twice what the live workers of a queue can work on, less what
        is on its way: more than that would only decide the order too early.
    """
    sql = f"""SELECT 'pause', type, user_id, queue, 0 FROM pauses
        UNION ALL SELECT 'run', CAST(id AS varchar), '', '', 0 FROM runs WHERE {HELD_BACK}
        UNION ALL SELECT 'limit', name, '', '', greatest(max_held - held, 0) FROM type_limits"""
    parameters = {}
    if queues:
        sql += f""" UNION ALL SELECT 'worker', '', '', queues, threads FROM workers WHERE dead_at IS NULL
        UNION ALL SELECT 'sent', '', '', queue, count(*) FROM jobs
        WHERE status = 'queued' AND slot AND queue {among(session, "queues", "text")} GROUP BY queue"""
        parameters["queues"] = many(session, sorted(queues))
    found = Gates([], {}, dict.fromkeys(queues, 0))
    for kind, name, user_id, queue, number in run(session, sql, **parameters):
        match kind:
            case "pause":
                found.closed.append(pauses.Scope(name, user_id, queue))
            case "run":
                found.closed.append(pauses.Scope(run_id=name))
            case "limit":
                found.room_of[name] = number
            case "worker":
                for consumed in found.windows.keys() & set(queue.split("\n")):
                    found.windows[consumed] += _WINDOW * number
            case "sent":
                found.windows[queue] -= number
    return found


def lock(session: Session, room: int, filters: Filters, *, waits: bool = False) -> dict[str, tuple[float, int, int]]:
    """Lock the users who are next: those first whose clock is lowest, with a free slot and a job that may be taken.

    :param room: the most users to lock.
    :param waits: wait for a user who is locked elsewhere rather than leave that one out.
    :returns: by user id the clock, the weight and the free slots, in fair order.
    """
    # Not EXISTS, which PostgreSQL may turn into a join with all lanes of everybody.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    rows = run(
        session,
        f"""SELECT u.id, u.vtime, t.weight, t.max_running - u.held FROM users u JOIN tiers t ON t.name = u.tier
        WHERE u.ready > 0 AND u.held < t.max_running
        AND (SELECT 1 FROM jobs j WHERE j.user_id = u.id AND {filters.sql}
            ORDER BY j.priority DESC, j.id LIMIT 1) = 1
        ORDER BY u.vtime LIMIT :room {"" if is_sqlite else f"FOR NO KEY UPDATE OF u {'' if waits else 'SKIP LOCKED'}"}""",
        room=room,
        **filters.parameters,
    )
    return {str(user): (clock, weight, slots) for user, clock, weight, slots in rows}


def lock_limits(session: Session, names: Collection[str]) -> dict[str, int]:
    """Lock type limits, in the order of their names, and read how much room each has."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    rows = run(
        session,
        f"""SELECT name, max_held - held FROM type_limits WHERE name {among(session, "names", "text")} ORDER BY name
        {"" if is_sqlite else "FOR NO KEY UPDATE"}""",
        names=many(session, sorted(names)),
    )
    return dict(rows.all())


def look_at(
    session: Session, places: Mapping[str, tuple[float, int, int]], room: int, filters: Filters
) -> tuple[list[Lane], Any]:
    """Read the best jobs of the lanes whose users are locked, and the time after those locks."""
    share = max(1, -(-_LOOK_AHEAD * room // len(places)))
    found = {user_id: Lane(user_id, clock, weight, []) for user_id, (clock, weight, _) in places.items()}
    best = f"""SELECT j.user_id, j.id, j.type, j.queue, j.rescues = 0 AND j.max_attempts - j.attempt >= 2 AS calm,
            clock_timestamp() AS now FROM jobs j
        WHERE j.user_id = {{user}} AND {filters.sql} ORDER BY j.priority DESC, j.id LIMIT {{slots}}"""
    asked = [(user_id, min(slots, share)) for user_id, (_, _, slots) in places.items()]
    if session.get_bind().dialect.name == "sqlite":
        # SQLite has no LATERAL, and its LIMIT takes no column: the most that any lane may give is cut to each one's own below.
        rows = run(
            session,
            f"""SELECT j.user_id, j.id, j.type, j.queue, j.rescues = 0 AND j.max_attempts - j.attempt >= 2, clock_timestamp()
            FROM json_each(:users) l CROSS JOIN jobs j ON j.id IN (SELECT j.id FROM jobs j WHERE j.user_id = l.value
                AND {filters.sql} ORDER BY j.priority DESC, j.id LIMIT :most)
            ORDER BY l.key, j.priority DESC, j.id""",
            users=many(session, [user for user, _ in asked]),
            most=max(slots for _, slots in asked),
            **filters.parameters,
        ).all()
    else:
        batch = Batch(session, "l", {"user_id": "uuid", "slots": "int"}, asked)
        every = f"""SELECT c.* FROM {batch.sql} CROSS JOIN LATERAL ({best.format(user="l.user_id", slots="l.slots")}) c"""
        rows = run(session, every, **batch.parameters, **filters.parameters).all()
    now = None
    most_of = dict(asked)
    for user_id, job_id, kind, queue, calm, now in rows:  # noqa: B007 - the last row's time is the latest
        lane = found[str(user_id)]
        if len(lane.jobs) < most_of[lane.user_id]:
            lane.jobs.append((str(job_id), kind, queue, bool(calm)))
    return [lane for lane in found.values() if lane.jobs], now
