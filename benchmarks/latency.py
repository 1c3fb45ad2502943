"""Latency: from the sending of `POST /jobs` to the begin of the work, on a system with nothing else to do."""

import json
from collections.abc import Iterator

from benchmarks import client
from benchmarks.figures import Measured, quantile
from benchmarks.names import CLOCK
from benchmarks.places import Place, add_key, api, until, workers

_APART_SECONDS = 0.04
_TARGET_50, _TARGET_99 = "<= 5 ms", "<= 15 ms"


def measure(place: Place, *, jobs: int, broker: str = "") -> Iterator[Measured]:
    """Submit single jobs some tens of milliseconds apart and see when each began.

    :param broker: `RabbitMQ` or `Redis`; empty for the SQL broker.
    """
    key = add_key(place)
    with (
        place.broker(broker) as settings,
        api(place, **settings) as (_, port),
        workers(place, 1 if place.database.is_sqlite else 2, 8, **settings),
    ):
        until(lambda: bool(place.ask("SELECT id FROM workers")), seconds=30)
        body = json.dumps({"type": CLOCK, "payload": {}})
        plan = client.Plan(port, key, [("POST", "/api/v1/jobs", body)], 4, 60, 1 / _APART_SECONDS, jobs, keeps=True)
        client.run(client.Plan(port, key, plan.requests, count=20))  # the first ones find nothing warm
        sent = client.run(plan)
        until(lambda: place.ask("SELECT sum(unfinished) FROM users")[0][0] == 0, seconds=30)
    sent_at = {json.loads(body)["id"]: moment for moment, body in zip(sent.sent_at, sent.bodies, strict=True)}
    began, started, waited = [], [], []
    sql = f"SELECT id, result, {place.epoch('started_at')}, {place.epoch('created_at')} FROM jobs"  # noqa: S608 - ours
    for job_id, result, start, create in place.ask(sql):
        if str(job_id) in sent_at:
            began.append(1000 * (float(result) - sent_at[str(job_id)]))
            started.append(1000 * (start - sent_at[str(job_id)]))
            waited.append(1000 * (start - create))
    where = f"{place.name} with {broker}" if broker else place.name
    name = f"{where}, submit to start"
    yield Measured(f"{name} of the function, p50", quantile(began, 0.5), "ms", _TARGET_50)
    yield Measured(f"{name} of the function, p99", quantile(began, 0.99), "ms", _TARGET_99)
    yield Measured(f"{name} (started_at), p50", quantile(started, 0.5), "ms", _TARGET_50)
    yield Measured(f"{name} (started_at), p99", quantile(started, 0.99), "ms", _TARGET_99)
    yield Measured(f"{where}, created_at to started_at, p50", quantile(waited, 0.5), "ms")
    yield Measured(f"{where}, created_at to started_at, p99", quantile(waited, 0.99), "ms")
    yield Measured(f"{where}, POST /jobs on an idle system, p50", quantile(sent.milliseconds, 0.5), "ms")
