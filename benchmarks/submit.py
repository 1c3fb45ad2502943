"""Submission: how many jobs one API process takes in, one by one and in bulk."""

import json
from collections.abc import Iterator

from benchmarks import client
from benchmarks.figures import Measured, quantile
from benchmarks.names import NOTHING
from benchmarks.places import Place, add_key, api

_CONNECTIONS = 8
_BULK_JOBS = 10_000


def measure(place: Place, *, seconds: float, bulks: int) -> Iterator[Measured]:
    """Submit as fast as answers come, then at half that rate, then in bulk."""
    key = add_key(place)
    one = [("POST", "/api/v1/jobs", json.dumps({"type": NOTHING, "payload": {"number": 1}}))]
    with api(place) as (_, port):
        client.run(client.Plan(port, key, one, _CONNECTIONS, 1.0))
        fast = client.run(client.Plan(port, key, one, _CONNECTIONS, seconds))
        yield Measured(f"{place.name}, POST /jobs, {_CONNECTIONS} connections", fast.per_second, "requests/s", ">= 400/s")
        half = client.run(client.Plan(port, key, one, 4 * _CONNECTIONS, seconds, fast.per_second / 2))
        yield Measured(f"{place.name}, POST /jobs at half that rate, p50", quantile(half.milliseconds, 0.5), "ms")
        yield Measured(f"{place.name}, POST /jobs at half that rate, p99", quantile(half.milliseconds, 0.99), "ms", "<= 50 ms")
        job = {"type": NOTHING, "payload": {"number": 1}}
        many = [("POST", "/api/v1/jobs/bulk", json.dumps({"jobs": [job] * _BULK_JOBS}))]
        bulk = client.run(client.Plan(port, key, many, 1, 120, count=bulks))
        yield Measured(f"{place.name}, POST /jobs/bulk", _BULK_JOBS * bulk.per_second, "jobs/s", ">= 20,000/s")
