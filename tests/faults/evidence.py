"""The evidence: everything that was written down about a run, by the database and by those who watched it."""

import json
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Evidence:
    """Everything that was written down about a run."""

    def __init__(self, database: str, client: Path, executions: Path, faults: Path) -> None:
        self.answers = lines(client)
        self.executions = lines(executions)
        self.faults = lines(faults)
        tables = read(database)
        self.jobs = {str(job["id"]): job for job in tables["jobs"]}
        self.users = {str(user["id"]): user for user in tables["users"]}
        self.limits = tables["limits"]
        self.letters = tables["letters"]
        self.effects = tables["effects"]
        self.trails: dict[str, list[Row]] = defaultdict(list)
        for step in tables["steps"]:
            self.trails[str(step["job_id"])].append(step)
        self.steps = tables["steps"]


QUERIES = {
    "jobs": """SELECT j.id, j.user_id, j.type, j.status, j.blocked_by, j.slot, j.slot_limit, j.seq, j.attempt, j.max_attempts,
        j.claim_no, j.result, j.payload, j.idempotency_key FROM jobs j""",
    "users": """SELECT u.id, u.name, n.name AS tenant, u.unfinished, u.held, u.ready, t.max_running, t.max_active
        FROM users u JOIN tiers t ON t.name = u.tier JOIN tenants n ON n.id = u.tenant_id""",
    "limits": "SELECT name, max_held, held FROM type_limits",
    "letters": "SELECT job_id, claim_no FROM dead_letters",
    "effects": "SELECT job_id, claim_no FROM faults_effects",
    "steps": """SELECT id, job_id, user_id, seq, from_status, to_status, attempt, claim_no, worker_id, reason
        FROM transitions ORDER BY id""",
}


def read(url: str) -> dict[str, list[Row]]:
    """Read all tables in one snapshot."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN")
    else:
        import psycopg

        connection = psycopg.connect(url.replace("+psycopg", "", 1), autocommit=False)  # type: ignore[assignment]
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    tables = {}
    for name, query in QUERIES.items():
        cursor = connection.execute(query)
        columns = [column[0] for column in cursor.description]
        tables[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    connection.close()
    return tables


def lines(path: Path) -> list[Row]:
    """Read a log of JSON lines; a process that was killed may have left no log at all."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
