"""Evaluations: definitions of scenarios, which of them a run samples, and what its probes have brought."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Index
from sqlalchemy.orm import defer
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.database import as_instant
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.jobs import Job

PROBE, BASIC, DEEP = "probe.scenario", "analyze.basic", "analyze.deep"


class Definition(SQLModel, table=True):
    """A named list of scenarios, never changed; a run keeps a copy of it.

    `scenarios` is JSON: a list of objects with `prompt`, `expected` and `name`, the latter two null where there is none.
    """

    __tablename__ = "evaluation_definitions"
    __table_args__ = (Index("ix_evaluation_definitions_user", "user_id", "id"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    name: str = Field(max_length=200)
    scenarios: str = tables.json_text(nullable=False)
    scenario_count: int
    created_at: datetime = tables.instant(nullable=False)


class Probe(NamedTuple):
    """One probe of a run: how its job stands, and payload and result as JSON text; `result` is None until it has completed."""

    id: str
    status: str
    payload: str
    result: str | None


def create(session: Session, *, user_id: str, name: str, scenarios: str, scenario_count: int) -> Definition:
    """Enter a definition.

    :param scenarios: JSON text, already validated.
    """
    moment = as_instant(database_now(session))
    assert moment is not None  # noqa: S101 - a clock always answers
    made = Definition(user_id=user_id, name=name, scenarios=scenarios, scenario_count=scenario_count, created_at=moment)
    session.add(made)
    session.flush()
    return made


def get(session: Session, *, definition_id: str, user_id: str | None) -> Definition:
    """Read one definition.

    :param user_id: whose it must be; None for anybody's.
    :raises NotFoundError: there is no such definition.
    """
    statement = select(Definition).where(Definition.id == definition_id)
    if user_id is not None:
        statement = statement.where(Definition.user_id == user_id)
    found = session.scalars(statement).one_or_none()
    if found is None:
        raise NotFoundError
    return found


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Sequence[Definition]:
    """List definitions, newest first, without their scenarios.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    statement = select(Definition).options(defer(Definition.scenarios, raiseload=True))  # type: ignore[arg-type]
    statement = statement.order_by(col(Definition.id).desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(Definition.user_id == user_id)
    if before is not None:
        statement = statement.where(col(Definition.id) < before)
    return session.scalars(statement).all()


def sampled(count: int, *, percentage: float, seed: int) -> list[int]:
    """Choose scenarios: the same ones for the same arguments on every machine, and with a larger share those and more.

    :param count: how many scenarios there are.
    :param percentage: how many of a hundred to take, above 0 and up to 100; at least one scenario is taken.
    :returns: their numbers, counted from 0, in their order.
    """
    wanted = max(1, round(count * percentage / 100))
    # A hash, and no random number generator: what a seed means then hangs on no version of Python.
    drawn = sorted(range(count), key=lambda number: hashlib.sha256(f"{seed}:{number}".encode()).digest())
    return sorted(drawn[:wanted])


def probes(session: Session, *, run_id: str, user_id: str, after: str | None, limit: int) -> list[Probe]:
    """Read the probes of a user's run in the order of their ids.

    :param after: the id after which to begin.
    """
    statement = (
        select(Job.id, Job.status, Job.payload, Job.result)
        .where(Job.run_id == run_id, Job.user_id == user_id, Job.type == PROBE)
        .order_by(col(Job.id))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(col(Job.id) > after)
    return [Probe(*row) for row in session.exec(statement)]
