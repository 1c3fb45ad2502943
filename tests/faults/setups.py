"""What trials run on: the set-ups, and the settings of the processes under test."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.faults.load import ADMIN_KEY

ROOT = Path(__file__).parents[2]
# Everything that takes its time in production is scaled down so that a fault and its recovery fit into seconds.
SETTINGS = {
    "LEASE_SECONDS": "2",
    "HEARTBEAT_SECONDS": "0.5",
    "SWEEP_SECONDS": "0.4",
    "RESEND_SECONDS": "2",
    "BACKOFF_SECONDS": "0.2",
    "SHUTDOWN_SECONDS": "5",
    "WORKER_PROCESSES": "0",
    "LOG_FORMAT": "json",
    "WEBHOOK_ALLOW": "127.0.0.0/8",
    "WEBHOOK_BACKOFF_SECONDS": ",".join(["0.5"] * 400),
    "WEBHOOK_TIME_LIMIT_SECONDS": "1",
    "ADMIN_KEY": ADMIN_KEY,
    "ACTORS": "tests.faults.work",
}
DEFAULT_LEASE = {"GREENROOM_LEASE_SECONDS": "15", "GREENROOM_HEARTBEAT_SECONDS": "5", "GREENROOM_SWEEP_SECONDS": "2"}
TIER = {
    "max_active": 100_000, "max_running": 6, "max_payload_bytes": 65536, "max_items": 10,
    "submits_per_minute": 1_000_000, "weight": 1,
}  # fmt: skip
# On a machine that is busy with other things everything may take so many times longer before it counts as missing.
PATIENCE = float(os.environ.get("GREENROOM_TEST_PATIENCE", "1"))


# Every row that has a meaning there runs on these.
MAIN_SETUPS = ("sqlite+sql", "postgresql+rabbitmq")


class FaultError(Exception):
    """The trial could not go on; the message says what did not come."""


@dataclass(frozen=True)
class Setup:
    """What a trial runs on.

    :param name: as it is asked for and reported.
    """

    name: str
    database: str
    broker: str

    @classmethod
    def named(cls, name: str) -> "Setup":
        """Take the set-up from its name, as in `postgresql+rabbitmq`."""
        database, broker = name.split("+")
        return cls(name, database, broker)
