"""A database that goes away and comes back: the same processes connect again, and what they were at is done."""

import sys
from functools import partial
from pathlib import Path

import pytest

from tests import waiting
from tests.acceptance.greenroom_up import Up, descendants
from tests.acceptance.security.test_s28_database_down import closed

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

until = partial(waiting.until, seconds=60.0)


@pytest.mark.postgresql
@pytest.mark.parametrize("broker", ["", pytest.param("rabbitmq_url", marks=pytest.mark.rabbitmq, id="rabbitmq")])
def test_e10_workers_connect_again_by_themselves(
    broker: str, postgres_url: str, postgres_database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All connections are cut and refused for a while: no process ends, the job in hand completes with its first attempt."""
    # given
    url = request.getfixturevalue(broker) if broker else ""
    up = Up(tmp_path / "up", DATABASE_URL=postgres_database, BROKER_URL=url, WORKER_PROCESSES="1", SWEEP_SECONDS="0.5")
    request.addfinalizer(up.close)
    up.wait_for("worker.started")
    up.wait_for("Greenroom is running.")
    started, gate = tmp_path / "started", tmp_path / "gate"
    in_hand = up.submit("tests.until", started=str(started), file=str(gate))
    until(started.exists, "start of the job")
    processes = descendants(up.pid)
    # when
    with closed(postgres_url, postgres_database):
        until(lambda: up.call("GET", "/api/v1/queue").is_server_error, "refusal")
        refused = up.call("GET", "/api/v1/queue")
        gate.touch()
    # then
    assert (refused.status_code, refused.json()["code"]) == (503, "UNAVAILABLE")
    until(lambda: up.call("GET", "/health/ready").status_code == 200, "readiness")
    job = up.finished(in_hand)
    assert (job["result"], job["attempt"]) == ({"worker_lived": True}, 1)
    assert up.finished(up.submit("tests.echo", number=1))["result"] == {"number": 1}
    assert descendants(up.pid) == processes
