"""The figures that Greenroom wants to reach, and what a campaign has measured of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.campaign import Result


@dataclass(frozen=True)
class Goal:
    """One figure.

    :param wanted: what is to be reached, at which size.
    :param measured: finds what the campaign has measured, at the size that it had.
    """

    name: str
    wanted: str
    measured: Callable[[Sequence[Result]], str]


def _of(row: str, words: str) -> Callable[[Sequence[Result]], str]:
    """Fill the words with a row's figures, once for each set-up."""

    def measured(results: Sequence[Result]) -> str:
        found = []
        for result in results:
            recovery = result.figures.get("recovery") or {}
            known = {**result.figures, **{f"recovery_{name}": value for name, value in recovery.items()}}
            if result.row == row and result.figures:
                failed = " (**the row failed**)" if result.status == "fail" else ""
                found.append(f"{result.setup}: {words.format_map(_Known(known))}{failed}")
        return "; ".join(found) or "not measured"

    return measured


class _Known(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return "?"


def _total(results: Sequence[Result]) -> str:
    names = ("faults", "jobs", "lost", "committed_twice", "over_the_limit", "claims")
    faults, jobs, lost, twice, over, claims = (sum(int(r.figures.get(name) or 0) for r in results) for name in names)
    return f"{faults} faults, {jobs} jobs, {claims} claims: {lost} lost, {twice} committed twice, {over} over a limit"


_AGAIN = "p99 {recovery_p99} s, max {recovery_max} s of {recovery_count}, {recovery_never} never"

GOALS = (
    Goal("the whole campaign", "3,000 faults, 1,000,000 jobs: 0 lost, 0 committed twice, 0 over the limit", _total),
    Goal("worker killed → its job starts again, default leases", "p99 ≤ 20 s, max 30 s",
         _of("F1b", _AGAIN)),
    Goal("the same, leases of 2 s", "", _of("F1", _AGAIN)),
    Goal("broker wiped with 10,000 jobs queued", "all complete, re-sent within 60 s",
         _of("F8", "{queued} queued, {wipes} wipes, next job done within {recovery_max} s, "
                   "{unfinished} unfinished after {drained_in} s more")),
    Goal("stale attempts that wake up late", "1,000 tried, 0 accepted",
         _of("F18", "{stale_tried} tried, {stale_accepted} accepted")),
    Goal("limits under 8 racing claimers", "0 violations in 100,000 claims",
         _of("F23", "{over_the_limit} violations in {claims} claims by {workers} workers")),
    Goal("poison jobs", "exactly their attempts, then dead letters; neighbours keep ≥ 80 %",
         _of("F20", "{attempts_lost} of {attempts} attempts ended a process, neighbours at {throughput_share} of theirs")),
    Goal("API killed between commit and answer", "500 kills, 0 duplicates", _of("F25", "{kills} kills, {duplicates} duplicates")),
    Goal("SIGTERM under load", "exit ≤ 30 s (scaled: 5 s), no attempt burned",
         _of("F6", "{restarts} restarts, exit within {exit_max} s, {burned} attempts burned")),
    Goal("one tenant's burst of 10,000", "the others start within 2 s, p99",
         _of("F24", "{victims} others, p99 {wait_p99} s, max {wait_max} s")),
    Goal("slow database, 200 ms a query", "0 false rescues in 10,000 jobs",
         _of("F22", "{false_lease_losses} in {jobs_under_delay} jobs")),
)  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """Write the figures as a table."""
    lines = ["## Figures to reach", "", "| figure | wanted | measured here |", "| --- | --- | --- |"]
    lines += [f"| {goal.name} | {goal.wanted} | {goal.measured(results)} |" for goal in GOALS]
    return "\n".join(lines) + "\n"
