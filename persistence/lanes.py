"""Lanes: who waits for what, which of it may be taken now, and the locks under which it is taken."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from persistence import pauses
from persistence.batches import Batch, among, many, word
from persistence.statements import run

# Each user's share of what is looked at: twice the even share, so that the fair order has something to choose from.
_LOOK_AHEAD = 2


@dataclass(slots=True)
class Lane:
    """One user's place in the fair order while a batch is put together."""

    user_id: str
    clock: float
    weight: int
    jobs: list[tuple[str, str, bool]]


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


def gates(session: Session) -> tuple[list[pauses.Scope], dict[str, int]]:
    """Read what is paused and how much room each type limit has, at once, for this is asked at every turn of every ledger."""
    rows = run(
        session,
        f"""{pauses.IN_FORCE}
        UNION ALL SELECT name, '', '', '', greatest(max_held - held, 0) FROM type_limits""",
    ).all()
    closed = [pauses.Scope(*row[:4]) for row in rows if row[4] < 0]
    return closed, {row[0]: row[4] for row in rows if row[4] >= 0}


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
    best = f"""SELECT j.user_id, j.id, j.type, j.rescues = 0 AND j.max_attempts - j.attempt >= 2 AS calm, clock_timestamp() AS now
        FROM jobs j
        WHERE j.user_id = {{user}} AND {filters.sql} ORDER BY j.priority DESC, j.id LIMIT {{slots}}"""
    asked = [(user_id, min(slots, share)) for user_id, (_, _, slots) in places.items()]
    if session.get_bind().dialect.name == "sqlite":
        # SQLite has no LATERAL, and its LIMIT takes no column: the most that any lane may give is cut to each one's own below.
        rows = run(
            session,
            f"""SELECT j.user_id, j.id, j.type, j.rescues = 0 AND j.max_attempts - j.attempt >= 2, clock_timestamp()
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
    for user_id, job_id, kind, calm, now in rows:  # noqa: B007 - the last row's time is the latest
        lane = found[str(user_id)]
        if len(lane.jobs) < most_of[lane.user_id]:
            lane.jobs.append((str(job_id), kind, bool(calm)))
    return [lane for lane in found.values() if lane.jobs], now
