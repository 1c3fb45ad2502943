"""Recovery: how long it took until what a fault interrupted went on."""

from collections import defaultdict
from collections.abc import Sequence

from tests.faults.evidence import Evidence

Figures = dict[str, float | int | None]


def recovery(evidence: Evidence) -> Figures:
    """Measure how long what a fault interrupted took to start again, and after an outage how long until the next job was done.

    What was interrupted and never started again has no time, and `never` counts it: it was cancelled meanwhile, had no attempt
    left, or is one of the jobs that have not ended.
    """
    samples: list[float] = []
    starts: dict[str, list[float]] = defaultdict(list)
    open_claims: dict[int, dict[tuple[str, int], str]] = defaultdict(dict)
    for line in evidence.executions:
        if line["e"] == "start":
            starts[line["job"]].append(line["t"])
            open_claims[line["pid"]][line["job"], line["claim"]] = line["job"]
        elif line["e"] in {"end", "stop"}:
            open_claims[line["pid"]].pop((line["job"], line["claim"]), None)
    deaths = [line for line in evidence.faults if line.get("pid")]
    deaths += [line for line in evidence.executions if line["e"] == "failpoint"]
    never = 0
    for death in deaths:
        for job in open_claims[death["pid"]].values():
            again = min((t for t in starts[job] if t > death["t"]), default=None)
            if again is None:
                never += 1
            else:
                samples.append(again - death["t"])
    ends = [line["t"] for line in evidence.executions if line["e"] == "end"]
    for fault in evidence.faults:
        if fault["e"] == "heal":
            done = min((t for t in ends if t > fault["t"]), default=None)
            if done is not None:
                samples.append(done - fault["t"])
    return {**percentiles(samples), "never": never}


def percentiles(samples: Sequence[float]) -> Figures:
    """Give p50, p99 and the maximum, in seconds."""
    ordered = sorted(samples)

    def at(share: float) -> float | None:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)}
