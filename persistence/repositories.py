"""Repositories: what a user has said may be scanned, and where it is found."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from persistence import tables
from persistence.database import now as database_now
from persistence.errors import NotFoundError
from persistence.ids import new_id
from persistence.statements import run


class Repository(SQLModel, table=True):
    """A git repository that its user has tracked under an owner and a name.

    `url` is where its mirror is; without one it is asked for at the configured GitHub-compatible host.
    """

    __tablename__ = "repositories"
    __table_args__ = (UniqueConstraint("user_id", "owner", "name"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    owner: str = Field(max_length=100)
    name: str = Field(max_length=100)
    url: str | None = Field(default=None, max_length=2000)
    created_at: datetime = tables.instant(nullable=False)


def count(session: Session, *, user_id: str) -> int:
    """Count a user's repositories."""
    return int(run(session, "SELECT count(*) FROM repositories WHERE user_id = :user", user=user_id).scalar_one())


def track(session: Session, *, user_id: str, owner: str, name: str, url: str | None) -> bool:
    """Enter a repository; one that is tracked already is found at the new URL from now on.

    :returns: whether it is new.
    """
    made = new_id()
    row = run(
        session,
        """INSERT INTO repositories (id, user_id, owner, name, url, created_at)
        VALUES (:id, :user, :owner, :name, :url, :now)
        ON CONFLICT (user_id, owner, name) DO UPDATE SET url = excluded.url RETURNING id""",
        id=made,
        user=user_id,
        owner=owner,
        name=name,
        url=url,
        now=database_now(session),
    ).one()
    return str(row.id) == made


def get(session: Session, *, user_id: str, owner: str, name: str, lock: bool = False) -> Repository:
    """Read one of a user's repositories.

    :param lock: let nobody else who locks it go on until the transaction ends.
    :raises NotFoundError: the user tracks none of this name.
    """
    statement = select(Repository).where(Repository.user_id == user_id, Repository.owner == owner, Repository.name == name)
    if lock:
        statement = statement.with_for_update()
    found = session.scalars(statement).one_or_none()
    if found is None:
        raise NotFoundError
    return found


def listed(session: Session, *, user_id: str | None, before: str | None, limit: int) -> Sequence[Repository]:
    """List repositories, the one tracked last first.

    :param user_id: whose; None for everybody's.
    :param before: the id before which to begin.
    """
    statement = select(Repository).order_by(col(Repository.id).desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(Repository.user_id == user_id)
    if before is not None:
        statement = statement.where(col(Repository.id) < before)
    return session.scalars(statement).all()
