"""What every table shares: the naming convention, set before the first model, and the short forms of its columns."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, Text
from sqlmodel import Field, SQLModel

from persistence.columns import Id, Instant
from persistence.ids import new_id

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def id_key() -> Any:
    """Declare a primary key that is made in the process as a UUIDv7."""
    return Field(default_factory=new_id, sa_column=Column(Id, primary_key=True))


def id_column(target: str | None = None, *, nullable: bool = False, index: bool = False, cascade: bool = False) -> Any:
    """Declare a column that holds an id, a foreign key where a target (`table.column`) is given."""
    keys = [ForeignKey(target, ondelete="CASCADE" if cascade else None)] if target else []
    return Field(default=None, sa_column=Column(Id, *keys, nullable=nullable, index=index))


def instant(*, nullable: bool = True, index: bool = False) -> Any:
    """Declare a column that holds a moment, written by the statement that knows it."""
    return Field(default=None, sa_column=Column(Instant, nullable=nullable, index=index))


def json_text(*, nullable: bool = True) -> Any:
    """Declare a column of JSON kept as the exact text that was validated; nothing in SQL looks inside."""
    return Field(default=None, sa_column=Column(Text, nullable=nullable))


def one_of(column: str, values: Iterable[StrEnum], *, name: str) -> CheckConstraint:
    """Constrain a text column to the members of an enumeration."""
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return CheckConstraint(f"{column} IN ({listed})", name=name)
