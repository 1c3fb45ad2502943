"""Status: how long it takes to read, with a million jobs in the table."""

from collections.abc import Iterator

from benchmarks import client
from benchmarks.figures import Measured, quantile
from benchmarks.names import CLOCK, NOTHING
from benchmarks.places import Place, add_key, add_users, api, fill, tidy
from persistence.jobs import Job
from persistence.statements import run

_REQUESTS = 300


def measure(place: Place, *, jobs: int) -> Iterator[Measured]:
    """Read single jobs and pages as one user of a thousand, to whom a tenth of all jobs belongs."""
    key = add_key(place)
    (mine,) = next(iter(place.ask("SELECT id FROM users WHERE name = 'caller'")))
    _multiply(place, [str(mine), *add_users(place, 999, tier="pro")], jobs)
    ids = [str(row[0]) for row in place.ask("SELECT id FROM jobs WHERE user_id = :me ORDER BY random() LIMIT 1000", me=mine)]
    asked = {
        "GET /jobs/{id}": [f"/jobs/{job_id}" for job_id in ids],
        "GET /jobs": ["/jobs"],
        "GET /jobs?status=completed": ["/jobs?status=completed"],
        "GET /jobs?status=queued": ["/jobs?status=queued"],
        "GET /jobs?type=": [f"/jobs?type={CLOCK}"],
        "GET /quota": ["/quota"],
    }
    with api(place) as (_, port):
        for name, paths in asked.items():
            requests: list[tuple[str, str, str | None]] = [("GET", f"/api/v1{path}", None) for path in paths]
            client.run(client.Plan(port, key, requests, count=30))
            read = client.run(client.Plan(port, key, requests, count=_REQUESTS, seconds=30))
            target = "<= 10 ms" if name == "GET /jobs/{id}" else ""
            yield Measured(f"{name} of {jobs:,}, p50", quantile(read.milliseconds, 0.5), "ms")
            yield Measured(f"{name} of {jobs:,}, p99", quantile(read.milliseconds, 0.99), "ms", target)


def _multiply(place: Place, users: list[str], jobs: int) -> None:
    """Make very many jobs out of one: of 100, two queued, one failed and all others completed; without their transitions."""
    fill(place, users[:1], 1, type_name=NOTHING)
    status = "CASE WHEN i % 100 < 2 THEN 'queued' WHEN i % 100 = 2 THEN 'failed' ELSE 'completed' END"
    # A millisecond apart, up to now, as UUIDv7 has it.
    stamp = "lpad(to_hex(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) - (:jobs - i)), 12, '0')"
    changed = {
        "id": "CAST(substr(stamp, 1, 8) || '-' || substr(stamp, 9, 4) || '-7' || substr(noise, 1, 3) || '-8'"
        " || substr(noise, 4, 3) || '-' || substr(noise, 7, 12) AS uuid)",
        "user_id": "(CAST(:users AS uuid[]))[CASE WHEN i % 10 = 0 THEN 1 ELSE 2 + i % :others END]",
        "type": f"CASE WHEN i % 7 = 0 THEN '{CLOCK}' ELSE j.type END",
        "status": status,
        "created_at": "j.created_at - (:jobs - i) * interval '1 millisecond'",
        "finished_at": f"CASE WHEN {status} <> 'queued' THEN j.created_at - (:jobs - i) * interval '1 millisecond' END",
        "started_at": f"CASE WHEN {status} <> 'queued' THEN j.created_at - (:jobs - i) * interval '1 millisecond' END",
        "result": f"CASE WHEN {status} = 'completed' THEN 'null' END",
    }
    columns = [column.name for column in Job.__table__.columns]  # type: ignore[attr-defined]
    with place.database.write() as session:
        run(
            session,
            f"""INSERT INTO jobs ({", ".join(columns)})
            SELECT {", ".join(changed.get(column, f"j.{column}") for column in columns)}
            FROM jobs j CROSS JOIN (
                SELECT i, {stamp} AS stamp, md5(CAST(i AS text)) AS noise FROM generate_series(1, :jobs) AS s(i)) n""",  # noqa: S608 - ours
            jobs=jobs - 1,
            users=users,
            others=len(users) - 1,
        )
        run(
            session,
            """UPDATE users SET ready = c.n, unfinished = c.n FROM
            (SELECT user_id, count(*) AS n FROM jobs WHERE status = 'queued' GROUP BY user_id) c WHERE c.user_id = users.id""",
        )
    tidy(place)
