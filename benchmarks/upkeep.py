"""Upkeep: how long anybody waits while a million finished jobs are archived and deleted."""

import json
import threading
import time
from collections.abc import Iterator

from benchmarks import client
from benchmarks.figures import Measured, quantile
from benchmarks.names import NOTHING
from benchmarks.places import Place, add_key, api, fill, tidy, until, workers
from middleware.upkeep import Pieces
from persistence import archive, prune
from persistence.jobs import Job
from persistence.statements import run
from persistence.transitions import Transition

_SECONDS = 10.0
_RATE = 50.0
# The workers find nothing of their own to archive or delete.
_NO_OTHER = {"archive_hours": 1_000, "retention_hours": 10_000}


def measure(place: Place, *, jobs: int) -> Iterator[Measured]:
    """Submit at a steady rate to idle workers, first undisturbed and then beside a thread that does nothing but upkeep."""
    key = add_key(place)
    _multiply(place, jobs)
    counted = client.Plan(0, key, [("GET", "/api/v1/queue", None)], count=5, seconds=60)
    with api(place) as (_, port), workers(place, 1 if place.database.is_sqlite else 2, 8, **_NO_OTHER):
        until(lambda: bool(place.ask("SELECT id FROM workers")), seconds=30)
        counted.port = port
        yield Measured(f"{place.name}, GET /queue of {jobs:,} fresh", quantile(client.run(counted).milliseconds, 0.5), "ms")
        yield from _waits(place, port, key, "no upkeep")
        for name, step in (("archiving", archive.archive), ("deleting", prune.prune)):
            ended = threading.Event()
            done: list[tuple[int, float]] = []
            pieces = Pieces(step, older_than_seconds=3600.0)
            thread = threading.Thread(target=_keep, args=(place, pieces, ended, done))
            begun = time.monotonic()
            thread.start()
            try:
                yield from _waits(place, port, key, name)
            finally:
                ended.set()
                thread.join()
            took = [1000 * seconds for _, seconds in done]
            yield Measured(f"{place.name}, {name}: a transaction, p50", quantile(took, 0.5), "ms")
            yield Measured(f"{place.name}, {name}: a transaction, longest", max(took), "ms", "<= 100 ms")
            rate = sum(count for count, _ in done) / (time.monotonic() - begun)
            yield Measured(f"{place.name}, {name} beside it", rate, "jobs/s")


def _keep(place: Place, pieces: Pieces, ended: threading.Event, done: list[tuple[int, float]]) -> None:
    while not ended.is_set():
        done.append(pieces.do_one(place.database))
        ended.wait(2 * done[-1][1])  # as the sweeper does


def _waits(place: Place, port: int, key: str, name: str) -> Iterator[Measured]:
    """Submit; what a submission takes, and a claim after it by the audit trail, is what they waited at most."""
    body = json.dumps({"type": NOTHING, "payload": {}})
    sent = client.run(client.Plan(port, key, [("POST", "/api/v1/jobs", body)], 4, _SECONDS, _RATE, keeps=True))
    until(lambda: place.ask("SELECT sum(unfinished) FROM users")[0][0] == 0, seconds=60)
    ids = {json.loads(found)["id"] for found in sent.bodies}
    lasted = f"{place.epoch('started_at')} - {place.epoch('created_at')}"
    moments = place.ask(f"SELECT id, {lasted} FROM jobs ORDER BY id DESC LIMIT {len(ids) + 10}")  # noqa: S608 - ours
    waited = [1000 * seconds for job_id, seconds in moments if str(job_id) in ids]
    for what, values in (("POST /jobs", sent.milliseconds), ("created_at to started_at", waited)):
        yield Measured(f"{place.name}, {name}: {what}, p99", quantile(values, 0.99), "ms")
        yield Measured(f"{place.name}, {name}: {what}, longest", max(values), "ms", "<= 100 ms")


def _multiply(place: Place, jobs: int) -> None:
    """Make very many completed jobs, with their three transitions, out of one; they finished a day ago."""
    (mine,) = next(iter(place.ask("SELECT id FROM users WHERE name = 'caller'")))
    fill(place, [str(mine)], 1, type_name=NOTHING)
    sqlite = place.database.is_sqlite
    # Ids in the order of their making, two days old; then the moments, a millisecond apart.
    new_id = "printf('01900000-%04x-7000-8000-%012x', i >> 16, i)" if sqlite else (
        "CAST('01900000-' || lpad(to_hex(i >> 16), 4, '0') || '-7000-8000-' || lpad(to_hex(i), 12, '0') AS uuid)"
    )  # fmt: skip
    at = "moment_after({}, i / 1000.0 - 86400.0)"
    number = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :jobs)"
    changed = {"id": new_id, "status": "'completed'", "result": "'null'", "seq": "3", "attempt": "1", "claim_no": "1"}
    changed |= {name: at.format("x.created_at") for name in ("created_at", "dispatched_at", "started_at", "finished_at")}
    changed |= {"slot": "false", "blocked_by": "NULL"}
    names = [column.name for column in Job.__table__.columns]  # type: ignore[attr-defined]
    steps = [column.name for column in Transition.__table__.columns if column.name not in ("id", "xid")]  # type: ignore[attr-defined]
    with place.database.write() as session:
        run(
            session,
            f"""INSERT INTO jobs ({", ".join(names)}) {number}
            SELECT {", ".join(changed.get(name, f"x.{name}") for name in names)} FROM jobs x CROSS JOIN s""",  # noqa: S608 - ours
            jobs=jobs,
        )
        for seq, before, after in ((1, "NULL", "queued"), (2, "'queued'", "processing"), (3, "'processing'", "completed")):
            made = {"job_id": new_id, "seq": str(seq), "from_status": before, "to_status": f"'{after}'", "at": at.format("x.at")}
            made |= {"attempt": str(min(1, seq - 1)), "claim_no": str(min(1, seq - 1))}
            run(
                session,
                f"""INSERT INTO transitions ({", ".join(steps)}) {number}
                SELECT {", ".join(made.get(name, f"x.{name}") for name in steps)}
                FROM (SELECT * FROM transitions ORDER BY id LIMIT 1) x CROSS JOIN s""",  # noqa: S608 - ours
                jobs=jobs,
            )
    tidy(place)
