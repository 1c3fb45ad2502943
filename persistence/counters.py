"""The counters on users and type limits: locked in one order, changed only by what a guarded statement returned."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from persistence.batches import Batch, among, many
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.run_counters import Tally
from persistence.run_counters import write as write_runs
from persistence.statements import later, roll_back, run
from persistence.states import Status

_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(slots=True)
class LockedUser:
    """A user's counters and limits, read under the lock of the row."""

    id: str
    unfinished: int
    held: int
    ready: int
    max_active: int
    weight: int
    max_running: int


@dataclass(frozen=True, slots=True)
class LockedUsers:
    """The users whose rows this transaction holds, and the moment that was read after the locks.

    :param is_open: whether nothing is paused and no type limit is full.
    """

    rows: dict[str, LockedUser]
    now: Any
    is_open: bool


def lock_users(session: Session, ids: Iterable[str], *, skip_locked: bool = False) -> LockedUsers:
    """Lock users' rows in the order of their ids, in a statement of its own, and read them and the time.

    :param skip_locked: leave out those that another transaction holds.
    :raises NotFoundError: a user is missing, where none may be left out.
    """
    wanted = sorted(set(ids))
    lock = ""
    if session.get_bind().dialect.name == "postgresql":
        lock = "FOR NO KEY UPDATE OF u" + (" SKIP LOCKED" if skip_locked else "")
    rows = run(
        session,
        f"""WITH locked AS MATERIALIZED (SELECT u.id, u.unfinished, u.held, u.ready, t.max_active, t.weight,
                t.max_running
            FROM users u JOIN tiers t ON t.name = u.tier WHERE u.id {among(session, "ids")} ORDER BY u.id {lock})
        SELECT *, clock_timestamp(), NOT EXISTS (SELECT 1 FROM pauses)
            AND NOT EXISTS (SELECT 1 FROM type_limits WHERE held >= max_held) FROM locked""",
        ids=many(session, wanted),
    ).all()
    locked = {str(row[0]): LockedUser(str(row[0]), *row[1:7]) for row in rows}
    if not skip_locked and len(locked) < len(wanted):
        raise NotFoundError(f"no such user: {min(set(wanted) - locked.keys())}")
    # The clock of a row is read after that row was locked, so the last one's is after all locks.
    return LockedUsers(locked, rows[-1][7], bool(rows[-1][8])) if rows else LockedUsers({}, database_now(session), is_open=False)


def lock_free_users(session: Session, ids: set[str], *, waits_first: bool) -> LockedUsers:
    """Lock those users that are free.

    So one locked user does not stop all others; and nobody is left out for ever whose row is never free for long, as long
    as a caller says now and then to wait.

    :param session: one that has written nothing yet.
    :param waits_first: wait a moment for all of them, in order, before some are left out.
    :raises NotFoundError: a user is missing.
    """
    users = lock_users_soon(session, ids) if waits_first else None
    if users is None:
        users = lock_users(session, ids, skip_locked=True)
    if not users.rows:  # nothing else to do meanwhile: to ask again and again would cost more than all the work
        users = lock_users_soon(session, ids) or users
    check_known(session, ids - users.rows.keys())
    return users


def lock_users_soon(session: Session, ids: Collection[str], *, within_seconds: float = 0.2) -> LockedUsers | None:
    """Lock users' rows in order, waiting for those that another transaction holds.

    :param session: one that has written nothing yet.
    :returns: None, after a rollback, when they were not to be had in this time.
    :raises NotFoundError: a user is missing.
    """
    if session.get_bind().dialect.name == "sqlite":
        return lock_users(session, ids)
    try:
        run(session, f"SET LOCAL lock_timeout = {int(within_seconds * 1000)}")
        users = lock_users(session, ids)
        run(session, "SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        roll_back(session)
        return None
    return users


def check_known(session: Session, ids: set[str]) -> None:
    """Tell users that are locked elsewhere from users that do not exist.

    :raises NotFoundError: one does not.
    """
    if not ids:
        return
    rows = run(session, f"SELECT id FROM users WHERE id {among(session, 'ids')}", ids=many(session, sorted(ids)))
    missing = ids - {str(row.id) for row in rows}
    if missing:
        raise NotFoundError(f"no such user: {min(missing)}")


class Change:
    """What a transaction adds to the counters, summed up and written once a user, once a type limit and once a run."""

    def __init__(self) -> None:
        self._users: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
        self._limits: defaultdict[str, int] = defaultdict(int)
        self._runs = Tally()

    def unfinished(self, user_id: str, count: int) -> None:
        """Add to the user's queued and processing jobs."""
        self._users[user_id][0] += count

    def held(self, user_id: str, count: int, limit: str | None = None) -> None:
        """Add to the user's slots, and to the type limit that goes with them."""
        self._users[user_id][1] += count
        if limit is not None:
            self._limits[limit] += count

    def ready(self, user_id: str, count: int) -> None:
        """Add to the user's jobs in the lanes."""
        self._users[user_id][2] += count

    def clock(self, user_id: str, seconds: float) -> None:
        """Add to the user's fair-order clock, in seconds of work per weight."""
        self._users[user_id][3] += seconds

    def moved(self, run_id: object, group: int | None, before: Status | None, after: Status) -> None:
        """Count a job that went from one status to another for its run, if it has one."""
        if run_id is not None:
            self._runs.move(run_id, group, before, after)

    def write(self, session: Session) -> None:
        """Write the sums; users first, then limits, then runs, all in order."""
        if self._users:
            rows = [(user_id, *self._users[user_id]) for user_id in sorted(self._users)]
            columns = {"id": "uuid", "unfinished": "int", "held": "int", "ready": "int", "clock": "float8"}
            batch = Batch(session, "b", columns, rows)
            # Whoever comes back from idle starts at the clock of those who wait (of the last served, if nobody does): no
            # credit is saved up. A correction never takes a clock below that of the user who waits longest.
            later(
                session,
                f"""UPDATE users SET unfinished = users.unfinished + b.unfinished, held = users.held + b.held,
                    ready = users.ready + b.ready,
                    vtime = CASE
                        WHEN users.ready = 0 AND b.ready > 0 THEN greatest(users.vtime + b.clock, {_FLOOR})
                        WHEN b.clock < 0 THEN greatest(users.vtime + b.clock, least(users.vtime, {_FLOOR}))
                        ELSE users.vtime + b.clock END
                FROM {batch.sql} WHERE users.id = b.id""",
                **batch.parameters,
            )
        if any(self._limits.values()):
            limits = [(name, count) for name, count in sorted(self._limits.items()) if count]
            batch = Batch(session, "b", {"name": "text", "held": "int"}, limits)
            later(
                session,
                f"UPDATE type_limits SET held = type_limits.held + b.held FROM {batch.sql} WHERE type_limits.name = b.name",
                **batch.parameters,
            )
        if self._runs:
            write_runs(session, self._runs)


_FLOOR = "coalesce((SELECT min(w.vtime) FROM users w WHERE w.ready > 0), (SELECT max(w.vtime) FROM users w), 0)"
