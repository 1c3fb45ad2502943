"""Pauses: scopes in which nothing new starts, held exactly against dispatches that are under way."""

from dataclasses import dataclass

from sqlmodel import Session

from persistence.database import now as database_now
from persistence.runs import HELD_BACK
from persistence.statements import later, run

# The number of the advisory lock that dispatches share and a pause takes alone.
_GATE = 0x67726E31

# A run's pause stands in its own row.
IN_FORCE = f"""SELECT type, user_id, queue, '' AS run_id, -1 AS room FROM pauses
    UNION ALL SELECT '', '', '', CAST(id AS varchar), -1 FROM runs WHERE {HELD_BACK}"""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is paused; an empty word stands for any, and several words must all match."""

    type: str = ""
    user_id: str = ""
    queue: str = ""
    run_id: str = ""

    @property
    def is_total(self) -> bool:
        """Whether everything is paused."""
        return not (self.type or self.user_id or self.queue or self.run_id)

    @property
    def is_type(self) -> bool:
        """Whether a whole job type is paused, for all users and queues."""
        return bool(self.type) and not (self.user_id or self.queue or self.run_id)

    def covers(self, *, type: str, user_id: str, queue: str, run_id: str | None = None) -> bool:
        """Tell whether a job of this type, user, queue and run is paused by it."""
        if self.run_id and self.run_id != run_id:
            return False
        return self.type in {"", type} and self.user_id in {"", user_id} and self.queue in {"", queue}


def hold(session: Session) -> None:
    """Keep new pauses out until this transaction ends: what it takes is taken before the pause."""
    if session.get_bind().dialect.name == "postgresql":
        later(session, f"SELECT pg_advisory_xact_lock_shared({_GATE})")


def active(session: Session) -> list[Scope]:
    """List what operators have paused."""
    return [Scope(*row) for row in run(session, "SELECT type, user_id, queue FROM pauses ORDER BY 1, 2, 3")]


def in_force(session: Session) -> list[Scope]:
    """List all that is paused, single runs included."""
    return [Scope(*row[:4]) for row in run(session, IN_FORCE)]


def shut(session: Session) -> None:
    """Wait until no dispatch is under way, and keep new ones out until this transaction ends.

    For a transaction that holds no other lock yet: a dispatch may be waiting for any.
    """
    if session.get_bind().dialect.name == "postgresql":
        run(session, f"SELECT pg_advisory_xact_lock({_GATE})")


def pause(session: Session, scope: Scope) -> None:
    """Pause a scope; a scope that is paused already stays so.

    When this returns no dispatch is under way that does not know of it.
    """
    shut(session)
    run(
        session,
        """INSERT INTO pauses (type, user_id, queue, paused_at) VALUES (:type, :user_id, :queue, :now)
        ON CONFLICT DO NOTHING""",
        type=scope.type,
        user_id=scope.user_id,
        queue=scope.queue,
        now=database_now(session),
    )


def resume(session: Session, scope: Scope) -> None:
    """End the pause of a scope; without one nothing happens, and without any word every pause ends."""
    if scope.is_total:
        run(session, "DELETE FROM pauses")
        return
    run(
        session,
        "DELETE FROM pauses WHERE type = :type AND user_id = :user_id AND queue = :queue",
        type=scope.type,
        user_id=scope.user_id,
        queue=scope.queue,
    )
