"""Figures: what was measured, beside what it is meant to be."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Figure:
    """One measured quantity.

    :param name: what it is.
    :param target: what it is meant to reach, in words; empty where there is nothing to reach.
    :param values: one of each run.
    """

    name: str
    unit: str
    target: str = ""
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Measured:
    """One value out of one run, on its way into its figure."""

    name: str
    value: float
    unit: str
    target: str = ""


def collect(figures: dict[str, Figure], measured: Iterable[Measured]) -> None:
    """Put the values of a run into their figures."""
    for one in measured:
        figures.setdefault(one.name, Figure(one.name, one.unit, one.target)).values.append(one.value)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: Iterable[Figure]) -> str:
    """Write figures as a table for people, which is one of Markdown as well."""
    rows = [("figure", "median", "runs", "target")]
    for figure in figures:
        runs = " ".join(_number(value) for value in figure.values)
        rows.append((figure.name, f"{_number(figure.median)} {figure.unit}", runs, figure.target))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
