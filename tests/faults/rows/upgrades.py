"""Upgrades under load."""

import os
import subprocess
import sys

from tests.faults.row import row
from tests.faults.setups import ROOT
from tests.faults.trial import Trial


@row(
    "F32", "`greenroom migrate` and rolling restarts of API and workers under load (one version so far: old and new are alike)",
    "both obey A1 to A8", figures=("migrations", "refused_requests"),
)  # fmt: skip
def upgrade(trial: Trial) -> None:
    """Migrate, then restart everything in turn, as an upgrade does."""
    trial.begin(workers=2)
    trial.load.start(rate=40, ms=(10, 100), keyed=1.0)
    migrations = 0
    for _ in range(20 if trial.is_long else 2):
        trial.fault("migration")
        command = [sys.executable, "-c", "from api.cli import main; main()", "migrate"]
        done = subprocess.run(
            command, env=os.environ | trial.environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        trial.expect(done.returncode == 0, f"migrate: {done.stderr[-500:]}")
        migrations += 1
        for process in [*trial.workers, trial.api]:
            assert process is not None
            process.stop()
            process.resume()
            trial.wait(trial.is_ready, "answer of the API", seconds=40)
        trial.wait_for_workers(2)
    trial.drain()
    trial.figure("migrations", migrations)
    trial.figure("refused_requests", sum(trial.load.errors.values()))
    burned = trial.count("SELECT count(*) FROM transitions WHERE reason = 'worker lost'")
    trial.expect(burned == 0, f"{burned} attempts were burned by the upgrade")
