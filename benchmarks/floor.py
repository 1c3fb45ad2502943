"""The floor: bare PostgreSQL with three plain commits a job, which is what recording each step one by one costs."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized

import psycopg

from benchmarks.figures import Measured
from benchmarks.places import Place

_PROCESSES, _THREADS = 2, 8
_TABLES = """CREATE TABLE floor_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL, payload text);
CREATE TABLE floor_steps (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job_id bigint, status text, at timestamptz);"""
_STEP = "INSERT INTO floor_steps (job_id, status, at) VALUES (%s, %s, now())"


def measure(place: Place, *, seconds: float) -> Iterator[Measured]:
    """Insert, begin and finish jobs, each step with its own commit, on as many connections as workers have threads."""
    url = place.url.replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    processes = [context.Process(target=_process, args=(url, seconds, done)) for _ in range(_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds + 60)
    yield Measured("floor: bare PostgreSQL, three commits a job", done.value / seconds, "jobs/s", "(what to be well above)")


def _process(url: str, seconds: float, done: "Synchronized[int]") -> None:
    threads = [threading.Thread(target=_work, args=(url, seconds, done)) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(url: str, seconds: float, done: "Synchronized[int]") -> None:
    with psycopg.connect(url) as connection:
        end, jobs = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            row = connection.execute("INSERT INTO floor_jobs (status, payload) VALUES ('queued', '{}') RETURNING id").fetchone()
            assert row is not None  # noqa: S101 - an INSERT returns what it inserted
            connection.execute(_STEP, [row[0], "queued"])
            connection.commit()
            for status in ("processing", "completed"):
                connection.execute("UPDATE floor_jobs SET status = %s WHERE id = %s", [status, row[0]])
                connection.execute(_STEP, [row[0], status])
                connection.commit()
            jobs += 1
        with done.get_lock():
            done.value += jobs
