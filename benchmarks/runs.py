"""Runs: ten thousand jobs in one request, their progress while they are worked off, and how soon a pause holds."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks import client
from benchmarks.figures import Measured, quantile
from benchmarks.names import NOTHING
from benchmarks.places import Place, add_key, api, tidy, until, workers

_APART_SECONDS = 0.01


def measure(place: Place, *, jobs: int) -> Iterator[Measured]:
    """Start a run, ask how far it is while workers are at it as fast as they can, and pause another one halfway."""
    key = add_key(place)
    target = "<= 4 s" if place.database.is_sqlite else "<= 2 s"
    with api(place) as (_, port):
        url = f"http://127.0.0.1:{port}/api/v1"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as caller:
            small, _ = _start(caller, 10)
            thousand, took = _start(caller, min(jobs, 1_000))
            yield Measured(f"{place.name}, POST /runs of {min(jobs, 1_000):,} jobs", took, "s", "< 5 s")
            first, took = _start(caller, jobs)
            yield Measured(f"{place.name}, POST /runs of {jobs:,} jobs", took, "s", target)
            tidy(place)
            path = f"/api/v1/runs/{first}"
            plan = client.Plan(port, key, [("GET", path, None)], 4, 12, 1 / _APART_SECONDS, keeps=True)
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(client.run, plan)  # from before the first job is taken
                with workers(place, 1 if place.database.is_sqlite else 2, 8):
                    yield from _progress(place, asked.result(), first, jobs)
                    for earlier in (small, thousand):
                        until(lambda: caller.get(f"/runs/{earlier}").json()["status"] == "completed", seconds=60)  # noqa: B023
                    second, _ = _start(caller, jobs)
                    yield _pause(place, caller, second)
            at_rest = client.run(client.Plan(port, key, [("GET", f"/api/v1/runs/{first}", None)], count=200, seconds=30))
            name = f"{place.name}, GET /runs/{{id}} of {jobs:,} jobs, idle"
            yield Measured(f"{name}, p99", quantile(at_rest.milliseconds, 0.99), "ms", "< 100 ms")


def _start(caller: httpx.Client, jobs: int) -> tuple[str, float]:
    body = json.dumps({"name": "benchmark", "jobs": [{"type": NOTHING, "payload": {"number": n}} for n in range(jobs)]})
    started = time.perf_counter()
    answer = caller.post("/runs", content=body, headers={"Content-Type": "application/json"})
    took = time.perf_counter() - started
    answer.raise_for_status()
    return str(answer.json()["id"]), took


def _progress(place: Place, asked: client.Results, run: str, jobs: int) -> Iterator[Measured]:
    """Say what the questions took, sent at a rate of their own, that came between the first and the last job of the run."""
    took = [
        milliseconds
        for milliseconds, body in zip(asked.milliseconds, asked.bodies, strict=True)
        if json.loads(body)["status"] == "running"
    ]
    until(lambda: place.ask("SELECT finished_at FROM runs WHERE id = :id", id=run)[0][0] is not None, seconds=120)
    name = f"{place.name}, GET /runs/{{id}} while {jobs:,} jobs are worked off"
    yield Measured(f"{name}, p50", quantile(took, 0.5), "ms")
    yield Measured(f"{name}, p99", quantile(took, 0.99), "ms", "<= 20 ms")
    lasted = f"{place.epoch('finished_at')} - {place.epoch('started_at')}"
    ((seconds,),) = place.ask(f"SELECT {lasted} FROM runs WHERE id = :id", id=run)  # noqa: S608 - ours
    yield Measured(f"{place.name}, such a run meanwhile", jobs / seconds, "jobs/s")


def _pause(place: Place, caller: httpx.Client, run: str) -> Measured:
    """Pause when some jobs have finished; how much later than the answer the last attempt began, by the audit trail."""
    until(lambda: caller.get(f"/runs/{run}").json()["progress"]["completed"] > 0, seconds=60, every=0.01)
    caller.post(f"/runs/{run}/pause").raise_for_status()
    answered = time.time()
    until(lambda: caller.get(f"/runs/{run}").json()["progress"]["processing"] == 0, seconds=60)
    time.sleep(2)  # whoever starts one too many has time to
    moment = place.epoch("t.at")
    ((last,),) = place.ask(
        f"SELECT max({moment}) FROM transitions t JOIN jobs j ON j.id = t.job_id"  # noqa: S608 - ours
        " WHERE j.run_id = :run AND t.to_status = 'processing'",
        run=run,
    )
    (left,) = place.ask("SELECT queued FROM runs WHERE id = :id", id=run)[0]
    if not left:
        raise AssertionError("the run was over before it was paused")
    return Measured(
        f"{place.name}, last start after the answer to a pause", max(0.0, 1000 * (last - answered)), "ms", "<= 200 ms"
    )
