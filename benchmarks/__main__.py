"""`python -m benchmarks [names…]`: measure, print a table and write JSON; nothing here passes or fails by its speed."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import drain, floor, latency, machine, peers, runs, start, status, submit, upkeep
from benchmarks.figures import Figure, Measured, collect, table
from benchmarks.places import ROOT, Place, fresh, server

_AHEAD = (("claim_ahead", 512),)
_DEFAULT, _FAR, _SQLITE = ">= 4,000/s", ">= 8,000/s", ">= 2,000/s"
_BROKERS = {"RabbitMQ": ">= 1,700/s", "Redis": ">= 80 % of RabbitMQ"}
_OPTIONAL = ("peers",)  # only when asked for by name: it installs something


@dataclass(frozen=True)
class Benchmark:
    """One measurement, made on a fresh database.

    :param group: the name by which it is asked for.
    :param measure: takes the place and the scale, 1 for the full size.
    :param once: whether one run says enough, for it takes long.
    """

    group: str
    on_postgres: bool
    measure: Callable[[Place, float], Iterator[Measured]]
    once: bool = False


def _benchmarks() -> Iterator[Benchmark]:
    for case in _drains():
        yield Benchmark("drain", case.name.startswith("PostgreSQL"), partial(_drain, case))
    for case in _broker_drains():
        yield Benchmark("brokers", True, partial(_drain, case))
    for broker in _BROKERS:
        yield Benchmark("brokers", True, partial(_latency, broker=broker))
    for on_postgres in (True, False):
        yield Benchmark("latency", on_postgres, _latency)
        yield Benchmark("submit", on_postgres, _submit)
        yield Benchmark("start", on_postgres, _start)
        yield Benchmark("runs", on_postgres, _runs)
        yield Benchmark("upkeep", on_postgres, _upkeep, once=True)
    yield Benchmark("status", True, _status, once=True)
    yield Benchmark("floor", True, _floor)
    yield Benchmark("peers", True, _peers, once=True)


def _drains() -> Iterator[drain.Case]:
    many = "1,000 users of 5 slots"
    yield drain.Case("PostgreSQL, one user, default settings", 1, 60_000, 2, target=_DEFAULT)
    yield drain.Case(f"PostgreSQL, {many}, default settings", 1_000, 60_000, 2, tier="pro", target=_DEFAULT)
    yield drain.Case("PostgreSQL, one user of 50 slots, default settings", 1, 60_000, 2, tier="enterprise")
    for threads in (8, 2):
        rest = f"512 ahead, {threads} threads"
        yield drain.Case(f"PostgreSQL, one user, {rest}", 1, 80_000, 2, threads, target=_FAR, settings=_AHEAD)
        yield drain.Case(f"PostgreSQL, {many}, {rest}", 1_000, 80_000, 2, threads, "pro", _FAR, _AHEAD)
    for processes in (1, 2):
        yield drain.Case(f"SQLite, one user, processes: {processes}", 1, 30_000, processes, target=_SQLITE)
        yield drain.Case(f"SQLite, {many}, processes: {processes}", 1_000, 30_000, processes, tier="pro", target=_SQLITE)


def _broker_drains() -> Iterator[drain.Case]:
    for broker, target in _BROKERS.items():
        name = f"PostgreSQL with {broker}"
        yield drain.Case(f"{name}, one user", 1, 30_000, 2, target=target, broker=broker)
        yield drain.Case(f"{name}, 1,000 users of 5 slots", 1_000, 30_000, 2, tier="pro", target=target, broker=broker)


def _drain(case: drain.Case, place: Place, scale: float) -> Iterator[Measured]:
    return drain.measure(place, replace(case, jobs=max(2 * case.users, int(case.jobs * scale))))


def _latency(place: Place, scale: float, broker: str = "") -> Iterator[Measured]:
    return latency.measure(place, jobs=max(50, int(300 * scale)), broker=broker)


def _submit(place: Place, scale: float) -> Iterator[Measured]:
    return submit.measure(place, seconds=max(1.0, 8 * scale), bulks=max(2, int(10 * scale)))


def _start(place: Place, scale: float) -> Iterator[Measured]:
    return start.measure(place, jobs=max(200, int(5_000 * scale)))


def _status(place: Place, scale: float) -> Iterator[Measured]:
    return status.measure(place, jobs=int(1_000_000 * scale))


def _runs(place: Place, scale: float) -> Iterator[Measured]:
    return runs.measure(place, jobs=max(1_000, int(10_000 * scale)))


def _upkeep(place: Place, scale: float) -> Iterator[Measured]:
    return upkeep.measure(place, jobs=max(1_000, int(1_000_000 * scale)))


def _floor(place: Place, scale: float) -> Iterator[Measured]:
    return floor.measure(place, seconds=max(2.0, 8 * scale))


def _peers(place: Place, scale: float) -> Iterator[Measured]:
    return peers.measure(place, jobs=max(2_000, int(10_000 * scale)))


def main() -> int:
    """Run what was asked for.

    :returns: the exit code: 1 if a measurement could not be made.
    """
    names = list(dict.fromkeys(benchmark.group for benchmark in _benchmarks()))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all but {', '.join(_OPTIONAL)} if none is given")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the table has the median")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the work; less than 1 is for a quick look")
    parser.add_argument("--only", default="", help="only measurements on `postgresql` or on `sqlite`")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="where the JSON goes")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"there is no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    wanted = given.names or [name for name in names if name not in _OPTIONAL]
    chosen = [benchmark for benchmark in _benchmarks() if benchmark.group in wanted]
    if given.only:
        chosen = [benchmark for benchmark in chosen if benchmark.on_postgres == (given.only == "postgresql")]
    figures: dict[str, dict[str, Figure]] = {}
    failures: list[str] = []
    with ExitStack() as stack:
        url = stack.enter_context(server()) if any(benchmark.on_postgres for benchmark in chosen) else None
        about = machine.describe(url)
        print(_line(about), flush=True)
        for benchmark in chosen:
            for number in range(1 if benchmark.once else given.runs):
                _run(benchmark, url, given.scale, figures.setdefault(benchmark.group, {}), failures)
                print(f"  {benchmark.group} {number + 1}", file=sys.stderr, flush=True)
    for group, found in figures.items():
        print(f"\n{group}\n{table(found.values())}", flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    about |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "scale": given.scale, "load_after": os.getloadavg()[0]}
    measured = {group: [asdict(figure) | {"median": figure.median} for figure in f.values()] for group, f in figures.items()}
    given.output.write_text(json.dumps({"machine": about, "figures": measured, "failures": failures}, indent=2) + "\n")
    print(f"\nWritten to {given.output}", *failures, sep="\n")
    return 1 if failures else 0


def _run(benchmark: Benchmark, url: str | None, scale: float, figures: dict[str, Figure], failures: list[str]) -> None:
    started = time.monotonic()
    try:
        with fresh(url if benchmark.on_postgres else None) as place:
            collect(figures, benchmark.measure(place, scale))
    except Exception as error:  # noqa: BLE001 - the edge: one measurement that cannot be made must not cost the others
        failures.append(f"{benchmark.group}: after {time.monotonic() - started:.0f} s: {type(error).__name__}: {error}")
        print(f"  {failures[-1]}", file=sys.stderr, flush=True)


def _line(about: dict[str, object]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in dict(about["versions"]).items())  # type: ignore[call-overload]
    return f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, load {about['load_before']}; {versions}"


if __name__ == "__main__":
    sys.exit(main())
