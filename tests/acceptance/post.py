"""An installation that delivers webhooks: the API, a courier as workers have it, and a stage for its jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import httpx

from middleware.courier import Courier
from middleware.settings import WebhookSettings
from tests import waiting
from tests.acceptance.served import Served, served
from tests.acceptance.stage import Stage, submit

LOOPBACK = (ip_network("127.0.0.0/8"),)
# Everything that takes its time in production takes little here.
SETTINGS: dict[str, Any] = {"allow": LOOPBACK, "backoff_seconds": (0.01, 0.01), "time_limit_seconds": 1.0}
PATIENCE_SECONDS = 30.0


class Post:
    """The installation.

    :param settings: of the couriers.
    """

    def __init__(self, greenroom: Served, settings: WebhookSettings) -> None:
        self.greenroom = greenroom
        self.stage = Stage(greenroom.database)
        self.fatal: list[BaseException] = []
        self._settings = settings
        self._couriers: list[Courier] = []

    def open(self) -> Courier:
        """Start one more courier."""
        courier = Courier(self._settings, database=self.greenroom.database, on_fatal=self.fatal.append)
        courier.start()
        self._couriers.append(courier)
        return courier

    def close(self) -> None:
        """Stop all couriers."""
        for courier in self._couriers:
            courier.close()
        assert self.fatal == []

    def complete(self, client: httpx.Client, count: int = 1) -> list[str]:
        """Submit jobs and complete them.

        :returns: their ids.
        """
        ids = [submit(client)["id"] for _ in range(count)]
        for _ in ids:
            self.stage.complete(self.stage.take_one())
        return ids


@contextmanager
def post(database_url: str, **settings: Any) -> Iterator[Post]:
    """Serve the API and deliver for the length of a block."""
    webhooks = WebhookSettings(**SETTINGS | settings)
    with served(database_url, webhooks=webhooks) as running:
        office = Post(running, webhooks)
        office.open()
        try:
            yield office
        finally:
            office.close()


def register(client: httpx.Client, url: str, **wishes: Any) -> dict[str, Any]:
    """Register an endpoint that has to be accepted."""
    answer = client.post("/webhooks", json={"url": url, **wishes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def deliveries(client: httpx.Client, endpoint: str, **filters: Any) -> list[dict[str, Any]]:
    """List an endpoint's deliveries, newest first."""
    answer = client.get(f"/webhooks/{endpoint}/deliveries", params=filters)
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["items"]
    return listed


def settled(client: httpx.Client, endpoint: str, status: str, *, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many deliveries of an endpoint stand as they should."""

    def look() -> list[dict[str, Any]]:
        found = deliveries(client, endpoint, status=status)
        return found if len(found) >= count else []

    return waiting.until(look, f"delivery that is {status}, but {deliveries(client, endpoint)}", seconds=PATIENCE_SECONDS)
