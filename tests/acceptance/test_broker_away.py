"""A broker that is away is no caller's concern: the API accepts, and what it has accepted is done when the broker is back."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.greenroom_up import Up

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.mark.parametrize(
    "broker",
    [
        pytest.param("rabbitmq_server", id="rabbitmq", marks=pytest.mark.rabbitmq),
        pytest.param("redis_server", id="redis", marks=pytest.mark.redis),
    ],
)
def test_the_api_does_not_mind_a_broker_that_is_away(broker: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Without it single jobs and many are accepted, readiness stays, and all is done soon after it is back."""
    # given
    server: Any = request.getfixturevalue(broker)
    up = Up(tmp_path / "up", BROKER_URL=server.url, WORKER_PROCESSES="1")
    request.addfinalizer(up.close)
    up.wait_for("Greenroom is running.")
    assert up.finished(up.submit("tests.echo", number=0))["status"] == "completed"
    # when
    server.kill()
    try:
        accepted = [up.submit("tests.echo", number=number) for number in range(1, 6)]
        many = {"jobs": [{"type": "tests.echo", "payload": {"number": number}} for number in range(6, 11)]}
        bulk = up.call("POST", "/api/v1/jobs/bulk", json=many)
        ready = up.call("GET", "/health/ready")
        left = [up.call("GET", f"/api/v1/jobs/{job_id}").json()["status"] for job_id in accepted]
        up.wait_for('"broker.away"')
    finally:
        server.start()
    # then
    accepted += [item["id"] for item in bulk.json()["jobs"]]
    assert (bulk.status_code, ready.status_code, set(left)) == (202, 200, {"queued"})
    done = [up.finished(job_id) for job_id in accepted]
    assert [job["result"] for job in done] == [{"number": number} for number in range(1, 11)]
    assert {job["attempt"] for job in done} == {1}
