"""The counters of runs: changed only by what a guarded statement returned, and written last of all in a transaction.

A claim by message takes no user's lock, so two transactions may count for the same runs. Both take the runs' rows in the order
of their ids, at their end, where they hold all else that they need: neither ever waits for a row of the other while it holds
one that the other wants. In a ledger's turn, which counts in several places, the sums are therefore held back until its end.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlmodel import Session

from persistence.batches import Batch
from persistence.runs import COUNTED
from persistence.statements import later
from persistence.states import Status

# What a job of a run belongs to: the run, and the number of the counters of its tags there.
Place = tuple[str, int | None]

_HELD_BACK = "greenroom_run_counts"
_NOTHING = dict.fromkeys(COUNTED, 0)


class Tally:
    """Sums of steps from one status to another, by run and by group."""

    def __init__(self) -> None:
        self.counts: defaultdict[Place, dict[str, int]] = defaultdict(_NOTHING.copy)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def move(self, run_id: object, group: int | None, before: Status | None, after: Status, count: int = 1) -> None:
        """Count jobs that went from one status to another; `before` is None for new ones.

        :param run_id: as its row has it; None for jobs of no run, of which nothing is counted.
        """
        if run_id is None:
            return
        counts = self.counts[str(run_id), group]
        if before is not None:
            counts[before] -= count
        counts[after] += count

    def add(self, other: "Tally") -> None:
        """Add another one's sums."""
        for place, counts in other.counts.items():
            mine = self.counts[place]
            for status, count in counts.items():
                mine[status] += count

    def write(self, session: Session) -> None:
        """Write the sums: runs in the order of their ids, each once, then their groups."""
        whole: defaultdict[str, dict[str, int]] = defaultdict(_NOTHING.copy)
        for (run_id, _), counts in self.counts.items():
            for status, count in counts.items():
                whole[run_id][status] += count
        changed = [(run_id, counts) for run_id, counts in sorted(whole.items()) if any(counts.values())]
        if changed:
            _write_runs(session, changed)
        groups = [
            (*place, *counts.values()) for place, counts in self.counts.items() if place[1] is not None and any(counts.values())
        ]
        if groups:
            batch = Batch(session, "b", {"run_id": "uuid", "number": "bigint", **_COLUMNS}, sorted(groups))
            later(
                session,
                f"""UPDATE run_groups SET {_SUMS.format(table="run_groups")} FROM {batch.sql}
                WHERE run_groups.run_id = b.run_id AND run_groups.number = b.number""",
                **batch.parameters,
            )
        self.counts.clear()


_COLUMNS = dict.fromkeys(COUNTED, "int")
_SUMS = ", ".join(f"{status} = {{table}}.{status} + b.{status}" for status in COUNTED)


def _write_runs(session: Session, changed: Sequence[tuple[str, Mapping[str, int]]]) -> None:
    if len(changed) > 1 and session.get_bind().dialect.name == "postgresql":
        # An UPDATE takes its rows in no order that anybody promises.
        ids = Batch(session, "b", {"id": "uuid"}, [(run_id,) for run_id, _ in changed])
        later(
            session,
            f"SELECT 1 FROM runs WHERE id IN (SELECT b.id FROM {ids.sql}) ORDER BY id FOR NO KEY UPDATE",
            **ids.parameters,
        )
    rows = [(run_id, sum(counts.values()), *counts.values()) for run_id, counts in changed]
    batch = Batch(session, "b", {"id": "uuid", "total": "int", **_COLUMNS}, rows)
    later(
        session,
        f"""UPDATE runs SET total = runs.total + b.total, {_SUMS.format(table="runs")},
            started_at = CASE WHEN runs.started_at IS NULL AND b.processing + b.completed + b.failed > 0
                THEN clock_timestamp() ELSE runs.started_at END,
            finished_at = CASE WHEN runs.queued + b.queued + runs.processing + b.processing = 0
                THEN coalesce(runs.finished_at, clock_timestamp()) END
        FROM {batch.sql} WHERE runs.id = b.id""",
        **batch.parameters,
    )


def hold_back(session: Session) -> Session:
    """Let a session's counts wait for its end; whoever commits it has to `write_held_back` first."""
    session.info[_HELD_BACK] = Tally()
    return session


def write_held_back(session: Session) -> None:
    """Write what was held back."""
    tally: Tally | None = session.info.get(_HELD_BACK)
    if tally:
        tally.write(session)


def write(session: Session, tally: Tally) -> None:
    """Write sums, or hold them back in a session that does so."""
    held_back: Tally | None = session.info.get(_HELD_BACK)
    if held_back is None:
        tally.write(session)
    else:
        held_back.add(tally)
