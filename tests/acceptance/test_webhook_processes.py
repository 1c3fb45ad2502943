"""Webhooks by real processes: what a killed worker had under way arrives all the same."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import waiting
from tests.acceptance.greenroom_up import Up
from tests.receiver import Receiver, receiving, status

pytestmark = pytest.mark.timeout(180)

_SETTINGS = {
    "WORKER_PROCESSES": "1",
    "WORKER_THREADS": "2",
    "WEBHOOK_ALLOW": "127.0.0.0/8",
    "WEBHOOK_TIME_LIMIT_SECONDS": "8",
    "WEBHOOK_BACKOFF_SECONDS": ",".join(["0.5"] * 100),
    "SWEEP_SECONDS": "0.5",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Listen."""
    with receiving() as listening:
        yield listening


def test_a_killed_worker_loses_no_event(receiver: Receiver, tmp_path: Path) -> None:
    """A worker is killed while it sends and while others wait; the next one delivers all of them, under the same ids."""
    receiver.behave = receiver.hang
    up = Up(tmp_path / "up", **_SETTINGS)
    try:
        # given
        up.wait_for("Greenroom is running.")
        answer = up.call("POST", "/api/v1/webhooks", json={"url": receiver.url})
        assert answer.status_code == 201, answer.text
        endpoint = answer.json()
        jobs = {up.submit("tests.echo", number=number) for number in range(8)}
        assert {up.finished(job)["status"] for job in jobs} == {"completed"}
        under_way = {one.id for one in receiver.wait(1)}
        (worker,) = up.workers()
        # when
        os.kill(worker, signal.SIGKILL)
        receiver.behave = status(200)
        receiver.closing.set()

        # then
        def all_told() -> bool:
            return {one.said["data"]["job"] for one in receiver.received if one.id not in under_way} | {
                one.said["data"]["job"] for one in receiver.received[1:] if one.id in under_way
            } == jobs

        waiting.until(all_told, "delivery of every event", seconds=90)
        path = f"/api/v1/webhooks/{endpoint['id']}/deliveries?status=delivered"
        waiting.until(lambda: len(up.call("GET", path).json()["items"]) == len(jobs), "answer written down", seconds=60)
        ids = {(one.said["data"]["job"], one.id) for one in receiver.received}
        assert len(ids) == len(jobs)
        for one in receiver.received:
            one.verify(endpoint["secret"])
    finally:
        up.close()
