"""Books: what the documents workload makes of an uploaded PDF; how one stands is read off its jobs, never stored."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from persistence import tables


class Book(SQLModel, table=True):
    """An uploaded PDF; its jobs carry its id as their subject."""

    __tablename__ = "books"
    __table_args__ = (Index("ix_books_user", "user_id", "id"),)
    id: str = tables.id_key()
    user_id: str = tables.id_column("users.id")
    title: str = Field(max_length=500)
    filename: str = Field(max_length=255)
    created_at: datetime = tables.instant(nullable=False)
    deleted_at: datetime | None = tables.instant()
