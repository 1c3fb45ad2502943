"""What callers of the API live through."""

import sys

from tests.faults.processes import Process
from tests.faults.row import row
from tests.faults.trial import Trial

_SERVE = """
from api.server import serve
from api.settings import ApiSettings
from persistence.environment import load
serve(load(ApiSettings))
"""


@row(
    "F25", "the API is killed between the commit of a job and the answer, and its caller asks again with the same key",
    "the same id is returned", figures=("kills", "duplicates"),
)  # fmt: skip
def kill_api(trial: Trial) -> None:
    """Let the API die at every fifteenth commit of submissions, and start it again."""
    trial.begin(workers=1)
    assert trial.api is not None
    trial.api.stop()
    environment = trial.environment(FAULTS_FAILPOINTS="after_submission=kill@15")
    api = Process("failing API", [sys.executable, "-c", _SERVE], environment, trial.folder / "failing-api.log")
    trial.keeper.keep(api)
    trial.load.start(rate=40, ms=(0, 20), keyed=1.0)
    wanted = 500 if trial.is_long else 6
    trial.wait(lambda: _kills(trial) >= wanted, f"{wanted} deaths of the API", seconds=60 + 10 * wanted)
    api.environment["FAULTS_FAILPOINTS"] = ""
    trial.drain(40)
    trial.figure("kills", _kills(trial))
    trial.expect(trial.load.unresolved == 0, f"{trial.load.unresolved} requests were never answered")


def _kills(trial: Trial) -> int:
    return sum(line["e"] == "failpoint" for line in trial.executions())
