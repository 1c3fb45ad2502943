"""The campaign: every row on every set-up, each in a process of its own with a deadline, and the negative controls."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.execution_log import STALE
from tests.faults.negative import CONTROLS, Control
from tests.faults.row import ROWS, Row
from tests.faults.servers import broker, postgres
from tests.faults.setups import PATIENCE, ROOT, FaultError, Setup
from tests.faults.trial import Trial

EFFECTS = "CREATE TABLE faults_effects (job_id varchar(36) NOT NULL, claim_no integer NOT NULL)"
TEMPLATE = "faults_template"
STUCK = "stuck"
# What callers may meet while something is wrong: come back later, or there is no database.
RIGHT = frozenset({"429", "503"})


@dataclass
class Result:
    """What came of one row on one set-up.

    :param status: pass, fail, or could not be injected here.
    :param without: the guard that was taken out; then a pass means that the oracle has caught it.
    """

    row: str
    setup: str
    status: str
    figures: dict[str, Any] = field(default_factory=dict)
    violations: dict[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0
    without: str = ""
    seed: int = 0
    is_long: bool = False


@contextmanager
def servers(setup: Setup, folder: Path) -> Iterator[dict[str, Any]]:
    """Run the servers that a set-up needs, with a migrated database for each trial to copy."""
    known: dict[str, Any] = {}
    with ExitStack() as stack:
        template = folder / "template.db"
        template.unlink(missing_ok=True)
        migrate(f"sqlite:///{template}")
        with closing(sqlite3.connect(template)) as connection:
            connection.execute(EFFECTS)
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        known["sqlite_template"] = str(template)
        if setup.database == "postgresql":
            server = stack.enter_context(postgres())
            with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as postgresql:
                postgresql.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate(server.url(TEMPLATE))
            with psycopg.connect(server.url(TEMPLATE).replace("+psycopg", ""), autocommit=True) as postgresql:
                postgresql.execute(EFFECTS)
            known["postgres"] = {
                "folder": str(server.folder), "port": server.port, "password": server.password, "template": TEMPLATE,
            }  # fmt: skip
        if setup.broker != "sql":
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenroom-faults-")))
            known[setup.broker] = stack.enter_context(broker(setup.broker, sockets / "control"))
        yield known


def migrate(url: str) -> None:
    """Bring a database's tables up to date."""
    # In a process of its own: nobody may be connected to a template.
    code = "import sys; from persistence.migrate import migrate; migrate(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, url], check=True, cwd=ROOT)


def applies(row: Row, setup: Setup) -> bool:
    """Tell whether a row has a meaning on a set-up."""
    return setup.database in row.databases and setup.broker in row.brokers


def hold(row: Row, setup: Setup, known: dict[str, Any], folder: Path, *, seed: int, is_long: bool, without: str = "") -> Result:
    """Hold one trial in a process of its own, and end it and all its processes at its deadline."""
    place = folder / "-".join(filter(None, (row.id, setup.name, without)))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    task = {"row": row.id, "setup": setup.name, "folder": str(place), "servers": known, "seed": seed}
    task |= {"is_long": is_long, "without": without}
    deadline = row.deadline_seconds * PATIENCE * (20 if is_long else 1)
    began = time.monotonic()
    with (place / "trial.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults", "trial", json.dumps(task)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            child.wait(deadline)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for pid in _members(child.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            child.wait()
    written = place / "result.json"
    if written.exists():
        result = Result(**json.loads(written.read_text()))
    else:
        tail = (place / "trial.log").read_text(errors="replace")[-600:]
        result = Result(row.id, setup.name, "fail", words=[f"no verdict within {deadline:g} s: {tail}"], without=without)
    result.seconds = round(time.monotonic() - began, 1)
    result.seed, result.is_long = seed, is_long
    if without:
        (control,) = (control for control in CONTROLS if control.guard == without)
        result.status = "pass" if is_noticed(control, result) else "fail"
    written.write_text(json.dumps(asdict(result)))
    return result


def is_noticed(control: Control, result: Result) -> bool:
    """Tell whether the oracle has noticed that a guard is missing, by what that leads to and by nothing else."""
    return STALE not in result.violations and bool(result.violations.keys() & set(control.shows))


def collected(folder: Path) -> list[Result]:
    """Read what trials have left in a folder; of one that was held again the last result counts."""
    found = {}
    for path in sorted(folder.rglob("result.json"), key=lambda path: path.stat().st_mtime):
        result = Result(**json.loads(path.read_text()))
        found[result.row, result.setup, result.without] = result
    return list(found.values())


def _members(session: int) -> list[int]:
    """List the processes of a session: those of a trial that did not end them itself."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(int(stat.parent.name))
    return found


def trial(task: dict[str, Any]) -> None:
    """Be the process of one trial."""
    row, setup, folder = ROWS[task["row"]], Setup.named(task["setup"]), Path(task["folder"])
    result = Result(row.id, setup.name, "fail", without=task["without"])
    stage = Trial(folder, setup, task["servers"], seed=task["seed"], is_long=task["is_long"], without=task["without"])
    stuck: list[str] = []
    with stage.after:
        try:
            try:
                row.run(stage)
            finally:
                stage.close()
            judgement = stage.judge()
            result.figures = judgement["figures"] | stage.verdict.figures
            result.violations = judgement["violations"]
            result.words = judgement["examples"]
        except NotImplementedError as cannot:
            result.status, result.words = "could not be injected here", [str(cannot)]
        except FaultError as error:
            stuck = [str(error)]
            with suppress(Exception):  # what the oracle finds may say why the row could not go on
                judgement = stage.judge()
                result.figures, result.violations = judgement["figures"] | stage.verdict.figures, judgement["violations"]
                result.words = judgement["examples"]
    wrong = [f"callers were answered with {error}" for error in stage.load.errors if error.isdigit() and error not in RIGHT]
    # A promise that the row has seen broken is something else than a row that could not be played to its end.
    for kind, problems in (("row", stage.verdict.problems), ("wrong answer", wrong), (STUCK, stuck), (STALE, stage.stale())):
        if problems:
            result.violations[kind] = len(problems)
            result.words = [*problems, *result.words]
    if result.status != "could not be injected here":
        result.status = "fail" if result.violations else "pass"
    result.figures |= {"errors": dict(stage.load.errors), "unresolved": stage.load.unresolved}
    (folder / "result.json").write_text(json.dumps(asdict(result)))
