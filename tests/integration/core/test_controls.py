"""The campaign's negative controls take something out of the product as it is, or say that they do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.controls import CONTROLS, ELSEWHERE, VARIABLE
from tests.faults.execution_log import LOG_VARIABLE, STALE, WITHOUT
from tests.faults.negative import CONTROLS as NEGATIVE

ROOT = Path(__file__).parents[3]
# Which guards a job meets on its way from its submission to its end; the others are seen to be there, and no more.
MET = {"fence", "slot_count", "slot_lock", "trail", "idempotency"}
LIFE = """
import sys
from tests.faults import controls

if sys.argv[2:]:
    controls.CONTROLS["stale"] = controls._rewritten(controls.Change("UPDATE jobs SET status = b.status", sys.argv[2]))
controls.install()

from persistence.attempts import Ending
from persistence.database import Database
from persistence.settings import DatabaseSettings
from tests import factories

database = Database(DatabaseSettings(), url=sys.argv[1])
with database.write() as session:
    user, worker = factories.user(session), factories.worker(session)
    factories.submit(session, user, factories.submission(), idempotency_key="key", request_hash="hash")
with database.write() as session:
    (taken,) = factories.take(session, worker)
with database.write() as session:
    factories.finish(session, worker, taken, Ending.COMPLETED)
"""


def live(url: str, folder: Path, guard: str, *more: str) -> tuple["subprocess.CompletedProcess[str]", list[dict[str, str]]]:
    """Let one job live in a process without a guard; gives the process and what the control has said."""
    log = folder / "executions.log"
    environment = os.environ | {VARIABLE: guard, LOG_VARIABLE: str(log), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LIFE, url, *more], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_every_negative_control_is_known() -> None:
    """What the campaign lists is what its processes, or its rows, can take out."""
    assert {control.guard for control in NEGATIVE} <= CONTROLS.keys() | ELSEWHERE


@pytest.mark.parametrize("guard", CONTROLS)
def test_a_guard_is_where_its_control_looks_for_it(database_url: str, tmp_path: Path, guard: str) -> None:
    """Nothing is out of date, and what a job's life meets is noted as missing."""
    # given
    if guard == "slot_lock" and database_url.startswith("sqlite"):
        pytest.skip("SQLite locks no rows")
    # when
    done, said = live(database_url, tmp_path, guard)
    # then
    assert done.returncode == 0, done.stderr
    assert STALE not in {line["e"] for line in said}
    assert guard not in MET or guard in {line["guard"] for line in said if line["e"] == WITHOUT}


def test_a_control_that_is_out_of_date_ends_its_process(sqlite_database: str, tmp_path: Path) -> None:
    """A pattern that a statement does not have any more is said out loud, and nothing runs as if a guard were missing."""
    done, said = live(sqlite_database, tmp_path, "stale", "AND no_such_guard")
    assert done.returncode == 70
    assert "the negative control 'stale' is stale" in done.stderr
    assert [line["guard"] for line in said if line["e"] == STALE] == ["stale"]
