"""`python -m tests.faults`: run the campaign, print its table and exit with 1 on any violation."""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import tests.faults.rows  # noqa: F401 - enters the rows
from tests.faults import campaign, report
from tests.faults.negative import CONTROLS
from tests.faults.row import ROWS
from tests.faults.trial import ROOT, Setup

SETUPS = ("sqlite+sql", "postgresql+sql")


def main() -> int:
    """Run what the command line asks for."""
    if sys.argv[1:2] == ["trial"]:
        campaign.trial(json.loads(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rows", default="", help="comma-separated rows; all of them if not given")
    parser.add_argument("--setups", default=",".join(SETUPS), help="comma-separated, as in postgresql+rabbitmq")
    parser.add_argument("--long", action="store_true", help="many faults a row")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "faults")
    parser.add_argument("--controls", action="store_true", help="run the negative controls as well")
    parser.add_argument("--controls-only", action="store_true", help="run nothing but the negative controls")
    parser.add_argument("--report", type=Path, help="write the page of results here")
    parser.add_argument("--without", default="", help="guards to take out of the rows that are named")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    setups = [Setup.named(name) for name in asked.setups.split(",")]
    names = asked.rows.split(",") if asked.rows else list(ROWS)
    asked.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    results: list[campaign.Result] = []
    with campaign.servers(setups, asked.folder) as known:

        def hold(name: str, setup: Setup, *, is_long: bool, without: str = "") -> None:
            result = campaign.hold(ROWS[name], setup, known, asked.folder, seed=seed, is_long=is_long, without=without)
            results.append(result)
            _tell(result)

        if not asked.controls_only:
            for name in names:
                for setup in setups:
                    if campaign.applies(ROWS[name], setup):
                        hold(name, setup, is_long=asked.long, without=asked.without)
        for control in CONTROLS if asked.controls or asked.controls_only else ():
            fitting = [setup for wanted in control.setups for setup in setups if setup.name == wanted]
            if fitting and (not asked.rows or control.row in names):
                hold(control.row, fitting[0], is_long=False, without=control.guard)
    if asked.report is not None:
        text = report.page(results, seed=seed, is_long=asked.long, setups=[setup.name for setup in setups])
        report.write(asked.report, text)
        print(text)
    failed = [result for result in results if result.status == "fail"]
    print(f"{len(failed)} of {len(results)} trials failed, in {time.monotonic() - began:.0f} s, seed {seed}")
    return 1 if failed else 0


def _tell(result: campaign.Result) -> None:
    without = f" without {result.without}" if result.without else ""
    print(f"{result.row} {result.setup}{without}: {result.status}, {result.seconds} s {json.dumps(result.figures)}", flush=True)
    if result.violations:
        print(f"    {result.violations}", flush=True)
    for words in result.words[:8]:
        print(f"    {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
