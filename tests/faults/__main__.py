"""`python -m tests.faults`: run the campaign, print its table and exit with 1 on any violation."""

import argparse
import json
import random
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tests.faults.rows  # noqa: F401 - enters the rows
from tests.faults import campaign, report
from tests.faults.campaign import Result
from tests.faults.negative import CONTROLS
from tests.faults.row import ROWS
from tests.faults.setups import MAIN_SETUPS, ROOT, Setup

# What only this one can show runs on it.
FILLING = ("postgresql+redis",)

_printing = threading.Lock()


def main() -> int:
    """Run what the command line asks for."""
    if sys.argv[1:2] == ["trial"]:
        campaign.trial(json.loads(sys.argv[2]))
        return 0
    asked = _asked()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    began = time.monotonic()
    if asked.collect:
        results = campaign.collected(asked.folder)
    else:
        plan = _plan(asked)
        with ThreadPoolExecutor(max_workers=asked.at_once) as pool:
            parts = list(pool.map(lambda item: _run(*item, asked=asked, seed=seed), plan.items()))
        results = [result for part in parts for result in part]
    seconds = time.monotonic() - began
    if asked.report is not None:
        text = report.page(results, note=asked.note)
        asked.report.write_text(text)
        print(text)
    failed = [result for result in results if result.status == "fail"]
    print(f"{len(failed)} of {len(results)} trials failed, in {seconds:.0f} s, seed {seed}")
    return 1 if failed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rows", default="", help="comma-separated rows; all of them if not given")
    parser.add_argument("--setups", default="", help="comma-separated, as in postgresql+rabbitmq,sqlite+sql")
    parser.add_argument("--long", action="store_true", help="many faults a row")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "faults", help="where trials leave their logs")
    parser.add_argument("--at-once", type=int, default=1, help="set-ups that are tried at the same time")
    parser.add_argument("--controls", action="store_true", help="run the negative controls as well")
    parser.add_argument("--controls-only", action="store_true", help="run nothing but the negative controls")
    parser.add_argument("--collect", action="store_true", help="run nothing: write the page of what was run in the folder")
    parser.add_argument("--note", default="", help="a sentence about the circumstances, for the page")
    parser.add_argument("--report", type=Path, help="write the page of results here")
    return parser.parse_args()


def _plan(asked: argparse.Namespace) -> dict[Setup, list[tuple[str, str]]]:
    """Say what runs where: for each set-up its rows, each with the guard that is taken out, if any."""
    wanted = asked.rows.split(",") if asked.rows else list(ROWS)
    wanted.sort(key=report.order)
    main = [Setup.named(name) for name in (asked.setups.split(",") if asked.setups else MAIN_SETUPS)]
    filling = [] if asked.setups else [Setup.named(name) for name in FILLING]
    plan: dict[Setup, list[tuple[str, str]]] = defaultdict(list)
    for name in [] if asked.controls_only else wanted:
        places = [setup for setup in main if campaign.applies(ROWS[name], setup)]
        for setup in places or [setup for setup in filling if campaign.applies(ROWS[name], setup)]:
            plan[setup].append((name, ""))
    for control in CONTROLS if asked.controls or asked.controls_only else ():
        fitting = [setup for place in control.setups for setup in main if setup.name == place]
        if fitting and control.row in wanted:
            plan[fitting[0]].append((control.row, control.guard))
    return plan


def _run(setup: Setup, tasks: list[tuple[str, str]], *, asked: argparse.Namespace, seed: int) -> list[Result]:
    folder = asked.folder / setup.name
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    with campaign.servers(setup, folder) as known:
        for name, without in tasks:
            is_long = asked.long and not without
            result = campaign.hold(ROWS[name], setup, known, folder, seed=seed, is_long=is_long, without=without)
            results.append(result)
            _tell(result)
    return results


def _tell(result: Result) -> None:
    without = f" without {result.without}" if result.without else ""
    with _printing:
        print(f"{result.row} {result.setup}{without}: {result.status}, {result.seconds} s {json.dumps(result.figures)}")
        if result.violations:
            print(f"    {result.violations}")
        for words in result.words[:8]:
            print(f"    {words}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
