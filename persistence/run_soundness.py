"""What the rows of runs keep to: their stored counters are those of their jobs."""

from persistence.rules import Query, Rule
from persistence.runs import COUNTED

_OF_RUN = ", ".join(f"sum(CASE WHEN status = '{status}' THEN 1 ELSE 0 END) AS {status}" for status in COUNTED)
_ARE = ", ".join(f"coalesce(c.{status}, 0) AS counted_{status}" for status in COUNTED)
_COUNTS = ", ".join(f"r.{status}" for status in COUNTED)
_MISCOUNTED = " OR ".join(f"{status} <> counted_{status}" for status in COUNTED)
_SAYS, _HAS = (", ".join(f"{{{word}{status}}} {status}" for status in COUNTED) for word in ("", "counted_"))

# A run whose retention is over loses its jobs piece by piece.
_RUNS = Query(
    "run",
    f"""SELECT r.id, {_COUNTS}, r.total, r.user_id, {_ARE}, coalesce(c.total, 0) AS counted_total, c.least_user, c.last_user
    FROM runs r LEFT JOIN (SELECT run_id, count(*) AS total, {_OF_RUN},
        min(CAST(user_id AS varchar)) AS least_user, max(CAST(user_id AS varchar)) AS last_user
        FROM jobs WHERE run_id IS NOT NULL GROUP BY run_id) c ON c.run_id = r.id WHERE r.deleted_at IS NULL""",
    (
        Rule("A3", _MISCOUNTED, f"counts {_SAYS} and has {_HAS}"),
        Rule("A3", "total <> counted_total", "counts {total} jobs and has {counted_total}"),
        Rule(
            "A4",
            "CAST(user_id AS varchar) <> least_user OR CAST(user_id AS varchar) <> last_user",
            "is {user_id}'s and has jobs of somebody else",
        ),
    ),
)

_RUN_GROUPS = Query(
    "run",
    f"""SELECT r.run_id AS id, r.number, r.tags, {_COUNTS}, {_ARE} FROM run_groups r
    JOIN runs o ON o.id = r.run_id AND o.deleted_at IS NULL
    LEFT JOIN (SELECT run_id, run_group, {_OF_RUN} FROM jobs WHERE run_group IS NOT NULL GROUP BY run_id, run_group) c
        ON c.run_id = r.run_id AND c.run_group = r.number""",
    (Rule("A3", _MISCOUNTED, f"counts {_SAYS} with the tags {{tags}} and has {_HAS}"),),
)

_RUN_MEMBERS = Query(
    "job",
    """SELECT j.id, j.run_id, r.id AS known_run, j.run_group, g.number AS known_group FROM jobs j
    LEFT JOIN runs r ON r.id = j.run_id LEFT JOIN run_groups g ON g.run_id = j.run_id AND g.number = j.run_group
    WHERE j.run_id IS NOT NULL""",
    (
        Rule("A3", "known_run IS NULL", "belongs to run {run_id}, which does not exist, so nobody counts it"),
        Rule("A3", "run_group IS NOT NULL AND known_group IS NULL", "has tags that its run {run_id} does not count"),
    ),
)

QUERIES = (_RUNS, _RUN_GROUPS, _RUN_MEMBERS)
