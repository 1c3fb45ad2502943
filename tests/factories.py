"""Builders of what tests are about, each with the least that a test has to say."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlmodel import Session

from persistence import admission, attempts, counters, dispatch, users, workers
from persistence.database import now
from persistence.ids import new_id
from persistence.progress import write as write_progress
from persistence.statements import run

QUEUE = "default"
TYPE = "tests.echo"


def user(session: Session, name: str = "ann", *, tier: str = "enterprise", tenant: str | None = None) -> str:
    """Make a user with a tenant, which is the user's own unless it is named."""
    tenant = tenant or f"tenant-of-{name}"
    found = run(session, "SELECT id FROM tenants WHERE name = :name", name=tenant).first()
    tenant_id = str(found.id) if found else new_id()
    if found is None:
        sql = "INSERT INTO tenants (id, name, created_at) VALUES (:id, :name, :now)"
        run(session, sql, id=tenant_id, name=tenant, now=now(session))
    user_id = new_id()
    run(
        session,
        """INSERT INTO users (id, name, tenant_id, tier, created_at, unfinished, held, ready, vtime)
        VALUES (:id, :name, :tenant, :tier, :now, 0, 0, 0, 0)""",
        id=user_id,
        name=name,
        tenant=tenant_id,
        tier=tier,
        now=now(session),
    )
    return user_id


def tier(session: Session, name: str, **limits: int) -> str:
    """Make or change a tier, whose limits are wide unless they are named."""
    wide = {"max_active": 100_000, "max_running": 50, "max_payload_bytes": 1_048_576, "max_items": 50}
    users.put_tier(session, name=name, limits=wide | {"submits_per_minute": 60_000, "weight": 1} | limits)
    return name


def submission(type: str = TYPE, **words: Any) -> admission.Submission:
    """Describe one job."""
    wishes: dict[str, Any] = {"queue": QUEUE, "payload": "{}", "max_attempts": 4} | words
    return admission.Submission(type=type, **wishes)


def submissions(count: int, type: str = TYPE, **words: Any) -> list[admission.Submission]:
    """Describe several like jobs."""
    return [submission(type, **words) for _ in range(count)]


def submit(session: Session, user_id: str, *submissions: admission.Submission, **words: Any) -> list[str]:
    """Admit jobs, one without any wishes if none is described, and give their ids."""
    unit = admission.Unit(user_id, submissions or [submission()], **words)
    (answer,) = admission.submit(session, [unit])
    if isinstance(answer, Exception):
        raise answer
    return answer.ids


def worker(session: Session, types: Collection[str] = (TYPE,), *, name: str = "worker", threads: int = 8) -> str:
    """Enter a worker that is alive."""
    worker_id = new_id()
    workers.register(session, worker_id=worker_id, name=name, queues=[QUEUE], types=sorted(types), threads=threads)
    return worker_id


def take(
    session: Session,
    worker_id: str | None,
    *,
    room: int = 100,
    types: Collection[str] = (TYPE,),
    mode: dispatch.Mode = dispatch.Mode.CLAIM,
    **words: Any,
) -> list[dispatch.Taken]:
    """Give slots to what is next."""
    wanted = dispatch.Wanted(worker_id, [QUEUE], types, room=room, idle=room, **words)
    return dispatch.take(session, wanted, mode)


def claim(type: str = TYPE, *, id: str | None = None, claim_no: int = 1) -> dispatch.Taken:
    """Describe a claim that no database knows of."""
    return dispatch.Taken(
        id=id or new_id(), user_id=new_id(), type=type, queue=QUEUE, priority=5, payload="{}", attempt=1, max_attempts=4,
        claim_no=claim_no, dispatch_no=1, rescues=0, subject=None,
    )  # fmt: skip


def outcome(taken: dispatch.Taken, ending: attempts.Ending, **words: Any) -> attempts.Outcome:
    """Describe how a claim's attempt ended."""
    return attempts.Outcome(taken.id, taken.user_id, taken.claim_no, taken.attempt, ending, **words)


def finish(session: Session, worker_id: str, taken: dispatch.Taken, ending: attempts.Ending, **words: Any) -> set[str]:
    """Write the outcome of one claim."""
    locked = counters.lock_users(session, [taken.user_id])
    return attempts.finish(session, worker_id, [outcome(taken, ending, **words)], locked)


def fail(session: Session, worker_id: str, taken: dispatch.Taken, kind: str = "ValueError") -> set[str]:
    """Fail a claim for good, with an error of the given kind and a dead letter."""
    error = f'{{"type":"{kind}","message":"no good","retryable":false,"attempt":{taken.attempt}}}'
    return finish(session, worker_id, taken, attempts.Ending.FAILED, error=error, traceback="Traceback", fingerprint=kind[:64])


def fetch(session: Session, table: str, id: str) -> Any:
    """Read one row by its id."""
    return run(session, f"SELECT * FROM {table} WHERE id = :id", id=id).one()


def moment(text: str) -> datetime:
    """Read a moment such as 2030-01-01T00:00:00+00:00."""
    return datetime.fromisoformat(text)


def progress(session: Session, worker_id: str, taken: dispatch.Taken, percent: float, note: str | None) -> None:
    """Say how far a claim's work is."""
    write_progress(session, worker_id=worker_id, steps=[(taken.id, taken.claim_no, percent, note)])
