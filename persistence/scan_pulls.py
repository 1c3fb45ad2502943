"""Pull requests of a scan: what has been read of each, and the vector that was made of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Text
from sqlmodel import Field, Session, SQLModel

from persistence.batches import Batch
from persistence.columns import Id
from persistence.statements import later, run


class ScanPull(SQLModel, table=True):
    """A pull request as a scan has found it; its diff is kept until its vector is made of it."""

    __tablename__ = "scan_pulls"
    scan_id: str = Field(sa_column=Column(Id, ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    head: str | None = Field(default=None, max_length=64)
    title: str = Field(sa_column=Column(Text, nullable=False))
    diff: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    vector: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull request.

    :param head: the commit at its tip.
    :param diff: what it changes, cut off at a length.
    """

    number: int
    title: str
    head: str | None = None
    diff: bytes | None = None


def enlist(session: Session, *, scan_id: str, pulls: Sequence[Pull], truncated: bool = False) -> int:
    """Write down which pull requests there are; those that are known already stay as they are.

    :param truncated: whether there are older ones that are left out.
    :returns: how many are known now.
    """
    columns = {"scan_id": "uuid", "number": "bigint", "head": "text", "title": "text"}
    batch = Batch(session, "b", columns, [(scan_id, pull.number, pull.head, pull.title) for pull in pulls])
    run(
        session,
        f"""INSERT INTO scan_pulls (scan_id, number, head, title)
        SELECT b.scan_id, b.number, b.head, b.title FROM {batch.sql} WHERE true ON CONFLICT (scan_id, number) DO NOTHING""",
        **batch.parameters,
    )
    row = run(
        session,
        """UPDATE scans SET pr_count = (SELECT count(*) FROM scan_pulls p WHERE p.scan_id = scans.id),
        truncated = :truncated WHERE id = :scan RETURNING pr_count""",
        scan=scan_id,
        truncated=truncated,
    ).one()
    return int(row.pr_count)


def unread(session: Session, *, scan_id: str, after: int, limit: int) -> list[Pull]:
    """List pull requests that come after the cursor of the ingest, by their numbers."""
    rows = run(
        session,
        "SELECT number, head, title FROM scan_pulls WHERE scan_id = :scan AND number > :after ORDER BY number LIMIT :most",
        scan=scan_id,
        after=after,
        most=limit,
    )
    return [Pull(row.number, row.title, row.head) for row in rows]


def ingest(session: Session, *, scan_id: str, pulls: Sequence[Pull]) -> None:
    """Store titles and diffs, and move the cursor behind the last of them."""
    for pull in pulls:
        later(
            session,
            "UPDATE scan_pulls SET title = :title, diff = :diff WHERE scan_id = :scan AND number = :number",
            scan=scan_id,
            number=pull.number,
            title=pull.title,
            diff=pull.diff,
        )
    _advance(session, scan_id, "ingested_count", pulls[-1].number)


def unembedded(session: Session, *, scan_id: str, after: int, limit: int) -> list[Pull]:
    """List pull requests that come after the cursor of the embedding, with their diffs."""
    rows = run(
        session,
        "SELECT number, title, diff FROM scan_pulls WHERE scan_id = :scan AND number > :after ORDER BY number LIMIT :most",
        scan=scan_id,
        after=after,
        most=limit,
    )
    return [Pull(row.number, row.title, diff=row.diff) for row in rows]


def embed(session: Session, *, scan_id: str, vectors: Sequence[tuple[int, bytes]]) -> None:
    """Store vectors in place of the diffs that they were made of, and move the cursor behind the last of them.

    :param vectors: number and vector of each.
    """
    for number, vector in vectors:
        later(
            session,
            "UPDATE scan_pulls SET vector = :vector, diff = NULL WHERE scan_id = :scan AND number = :number",
            scan=scan_id,
            number=number,
            vector=vector,
        )
    _advance(session, scan_id, "embedded_count", vectors[-1][0])


def vectors(session: Session, *, scan_id: str) -> list[tuple[int, str, bytes]]:
    """List number, title and vector of all pull requests of a scan, by their numbers."""
    rows = run(
        session,
        "SELECT number, title, vector FROM scan_pulls WHERE scan_id = :scan AND vector IS NOT NULL ORDER BY number",
        scan=scan_id,
    )
    return [(row.number, row.title, row.vector) for row in rows]


def _advance(session: Session, scan_id: str, counter: str, cursor: int) -> None:
    # Counted, not added to: a write whose commit was not answered is repeated.
    run(
        session,
        f"""UPDATE scans SET cursor = :cursor, {counter} = (SELECT count(*) FROM scan_pulls p
            WHERE p.scan_id = scans.id AND p.number <= :cursor) WHERE id = :scan""",
        cursor=cursor,
        scan=scan_id,
    )
