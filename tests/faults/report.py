"""The report: what the campaign found, as a page of the documentation."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.faults import goals
from tests.faults.campaign import Result, applies, is_noticed
from tests.faults.negative import CONTROLS
from tests.faults.row import MISSING, ROWS
from tests.faults.setups import MAIN_SETUPS, Setup

_HEAD = """# Reliability: what was injected, and what came of it

This page is written by `make faults` and `make faults-long`; nobody edits it by hand. Each row starts private servers and
the real processes, injects its fault under load and lets the oracle judge: a separate program that reads the database with
plain SQL, the log of what the API answered and the log of what was really executed, and imports nothing of Greenroom. Every
row checks A1 to A6, of A7 that each job is its caller's, and of A8 that work drains by itself; what it promises beyond that
stands beside it.

* {form}, {date}, seed {seed}{minutes}
* {machine}{note}
* Leases are scaled down to 2 s (default 15 s), beats to 0.5 s, sweeps to 0.4 s, re-sends to 2 s, unless the row says otherwise
* {faults} faults, {jobs} accepted jobs: {lost} lost, {twice} committed twice, {over} over a limit
* {failed} of {trials} trials failed

`recovery` (p50 / p99 / max) is the time until what a fault interrupted started again, or after an outage until the next
job was done. `executed twice` is no violation by itself: an attempt that was ended by force is made again. A result that is
*committed* twice is one.
"""


def machine() -> str:
    """Describe this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    )


def page(results: Sequence[Result], *, note: str = "") -> str:
    """Write the page.

    :param note: a sentence about the circumstances.
    """
    trials = [result for result in results if not result.without]

    def total(name: str) -> int:
        return sum(int(result.figures.get(name) or 0) for result in trials)

    forms = sorted({"long form" if result.is_long else "short form" for result in trials})
    seconds = [result.seconds for result in results]
    minutes = f", {sum(seconds) / 60:.0f} minutes of trials" if all(seconds) else ""
    head = _HEAD.format(
        form=" and ".join(forms).capitalize(), date=datetime.now(UTC).strftime("%Y-%m-%d"),
        seed=", ".join(sorted({str(result.seed) for result in trials})), machine=machine(), note=f". {note}" if note else "",
        minutes=minutes,
        faults=total("faults"), jobs=total("jobs"), lost=total("lost"), twice=total("committed_twice"),
        over=total("over_the_limit"), failed=sum(result.status == "fail" for result in trials), trials=len(trials),
    )  # fmt: skip
    return "\n".join([head, _rows(trials), goals.table(trials), _figures(trials), _controls(results)])


def _rows(results: Sequence[Result]) -> str:
    lines = [
        "## Rows",
        "",
        "| row | injected | set-up | result | jobs | faults | lost | committed twice | executed twice | recovery, s |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for id in sorted({*ROWS, *(missing.id for missing in MISSING)}, key=order):
        lines += [_missing(missing) for missing in MISSING if missing.id == id]
        here = [result for result in results if result.row == id]
        lines += [_line(result) for result in here]
        if id in ROWS:
            row, known = ROWS[id], {result.setup for result in here}
            left = [name for name in MAIN_SETUPS if applies(row, Setup.named(name)) and name not in known]
            if not here and not left:
                left = ["postgresql+redis"]
            lines += [f"| {id} | {row.injects} | {name} | not run | | | | | | |" for name in left]
    return "\n".join(lines) + "\n"


def _line(result: Result) -> str:
    row, figures = ROWS[result.row], result.figures
    recovery = figures.get("recovery") or {}
    times = " / ".join(str(recovery.get(name)) for name in ("p50", "p99", "max")) if recovery.get("count") else ""
    status = result.status if result.status != "could not be injected here" else f"could not be injected here: {result.words[0]}"
    status = f"**{status}**" if result.status == "fail" else status
    cells = [
        result.row, row.injects, result.setup, f"{status}, long form" if result.is_long else status,
        *(str(figures.get(name, "")) for name in ("jobs", "faults", "lost", "committed_twice", "executed_twice")), times,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _missing(missing: object) -> str:
    return f"| {missing.id} | {missing.injects} | | {missing.status}: {missing.reason} | | | | | | |"  # type: ignore[attr-defined]


def _figures(results: Sequence[Result]) -> str:
    lines = [
        "## What each row promises beyond that, and its own figures",
        "",
        "| row | promise | set-up | figures |",
        "| --- | --- | --- | --- |",
    ]
    for result in sorted(results, key=lambda result: order(result.row)):
        row = ROWS[result.row]
        named = [
            *row.figures,
            *(name for name in ("refused_outcomes", "refused_claims", "lease_lost", "rescued") if result.figures.get(name)),
        ]
        words = ", ".join(
            f"{name.replace('_', ' ')} {result.figures[name]}" for name in dict.fromkeys(named) if name in result.figures
        )
        errors = result.figures.get("errors")
        if errors:
            words += "; callers met " + ", ".join(f"{error} {count} times" for error, count in sorted(errors.items()))
        lines.append(f"| {row.id} | {row.promise} | {result.setup} | {words} |")
    for result in results:
        if result.status == "fail":
            lines += ["", f"**{result.row} on {result.setup} failed**: " + "; ".join(result.words[:3])]
    return "\n".join(lines) + "\n"


def _controls(results: Sequence[Result]) -> str:
    setups = {result.setup for result in results}
    lines = [
        "## Negative controls",
        "",
        "The same rows with one guard taken out: the oracle has to notice each, for a check that cannot fail proves nothing.",
        "",
        "| guard | what is taken out | row | set-up | noticed | as |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for control in CONTROLS:
        found = [result for result in results if result.without == control.guard]
        for result in found:
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result.violations.items()))
            noticed = "yes" if is_noticed(control, result) else "**no**"
            lines.append(f"| {control.guard} | {control.means} | {control.row} | {result.setup} | {noticed} | {kinds} |")
        if not found:
            reason = "not run" if setups & set(control.setups) else "its set-up was not there"
            lines.append(f"| {control.guard} | {control.means} | {control.row} | | {reason} | |")
    return "\n".join(lines) + "\n"


def order(id: str) -> tuple[int, str]:
    """Give the place of a row in the table."""
    digits = "".join(character for character in id if character.isdigit())
    return int(digits), id
