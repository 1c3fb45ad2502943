"""Verify: recounts and replays a live database, and names whatever breaks an invariant."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from persistence.rules import Query
from persistence.soundness import QUERIES
from persistence.statements import run


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant.

    :param invariant: A1 to A6.
    :param kind: what it was found on: `job`, `user`, `run` or `type limit`.
    :param id: that thing's id, or the type limit's name.
    :param found: what was found, in a sentence.
    """

    invariant: str
    kind: str
    id: str
    found: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.kind} {self.id}: {self.found}"


def verify(session: Session, *, most: int = 100) -> list[Violation]:
    """Check A1 to A6 on all jobs, users, runs, type limits and the whole audit trail, as they stand at one moment.

    Slots over a limit are no violation, for a lowered tier revokes nothing; what is checked is that the counters which
    guard the limits are true.

    :param session: one that has read nothing yet, for all is read in one snapshot.
    :param most: of each kind of query at most so many rows are reported.
    :returns: what was found; nothing, where all is well.
    """
    if session.get_bind().dialect.name == "postgresql":
        run(session, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for plan in ("seqscan", "hashjoin", "mergejoin"):  # off for the short statements of our sessions; this reads all
            run(session, f"SET LOCAL enable_{plan} = on")
        differs = "IS DISTINCT FROM"
    else:
        differs = "IS NOT"
    found: list[Violation] = []
    for query in QUERIES:
        found += _broken(session, query, differs, most)
    return found


def _broken(session: Session, query: Query, differs: str, most: int) -> Iterator[Violation]:
    conditions = [rule.broken.format(differs=differs) for rule in query.rules]
    flags = ", ".join(f"CASE WHEN {condition} THEN 1 ELSE 0 END AS rule_{n}" for n, condition in enumerate(conditions))
    any_flag = " + ".join(f"rule_{n}" for n in range(len(conditions)))
    rows = run(
        session,
        f"""SELECT * FROM (SELECT r.*, {flags} FROM ({query.rows.format(differs=differs)}) r) judged
        WHERE {any_flag} > 0 LIMIT {most}""",
    )
    for row in (found._asdict() for found in rows):
        for number, rule in enumerate(query.rules):
            if row[f"rule_{number}"]:
                yield Violation(rule.invariant, query.kind, str(row["id"]), rule.found.format_map(_Words(row)))


class _Words(dict[str, Any]):
    """A row as the words of a sentence, where NULL is 'nothing'."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__({name: "nothing" if value is None else value for name, value in row.items()})
