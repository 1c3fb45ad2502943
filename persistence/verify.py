"""Verify: recounts and replays a live database, and names whatever breaks an invariant."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from persistence.jobs import IN_LANE
from persistence.statements import run
from persistence.states import FINAL, TRANSITIONS, Status

# What a hand-back or a snooze returns, and what a retry or a rescue keeps; other reasons may do either.
_SPARED = ("snoozed", "handed_back")
_COUNTED = ("retry", "worker lost")


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant.

    :param invariant: A1 to A6.
    :param kind: what it was found on: `job`, `user` or `type limit`.
    :param id: that thing's id, or the type limit's name.
    :param found: what was found, in a sentence.
    """

    invariant: str
    kind: str
    id: str
    found: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.kind} {self.id}: {self.found}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A condition that no row of a query meets, and how to say what was found in one that does."""

    invariant: str
    broken: str
    found: str


@dataclass(frozen=True, slots=True)
class _Query:
    """Rows with an `id`, and the rules that each of them keeps."""

    kind: str
    rows: str
    rules: tuple[_Rule, ...]


def verify(session: Session, *, most: int = 100) -> list[Violation]:
    """Check A1 to A6 on all jobs, users, type limits and the whole audit trail, as they stand at one moment.

    Slots over a limit are no violation, for a lowered tier revokes nothing; what is checked is that the counters which
    guard the limits are true.

    :param session: one that has read nothing yet, for all is read in one snapshot.
    :param most: of each kind of query at most so many rows are reported.
    :returns: what was found; nothing, where all is well.
    """
    if session.get_bind().dialect.name == "postgresql":
        run(session, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for plan in ("seqscan", "hashjoin", "mergejoin"):  # off for the short statements of our sessions; this reads all
            run(session, f"SET LOCAL enable_{plan} = on")
        differs = "IS DISTINCT FROM"
    else:
        differs = "IS NOT"
    found: list[Violation] = []
    for query in _QUERIES:
        found += _broken(session, query, differs, most)
    return found


def _broken(session: Session, query: _Query, differs: str, most: int) -> Iterator[Violation]:
    conditions = [rule.broken.format(differs=differs) for rule in query.rules]
    flags = ", ".join(f"CASE WHEN {condition} THEN 1 ELSE 0 END AS rule_{n}" for n, condition in enumerate(conditions))
    any_flag = " + ".join(f"rule_{n}" for n in range(len(conditions)))
    rows = run(
        session,
        f"""SELECT * FROM (SELECT r.*, {flags} FROM ({query.rows.format(differs=differs)}) r) judged
        WHERE {any_flag} > 0 LIMIT {most}""",
    )
    for row in (found._asdict() for found in rows):
        for number, rule in enumerate(query.rules):
            if row[f"rule_{number}"]:
                yield Violation(rule.invariant, query.kind, str(row["id"]), rule.found.format_map(_Words(row)))


class _Words(dict[str, Any]):
    """A row as the words of a sentence, where NULL is 'nothing'."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__({name: "nothing" if value is None else value for name, value in row.items()})


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


_FINAL = _listed(FINAL)
_UNFINISHED = _listed(set(Status) - FINAL)


def _legal_steps() -> str:
    """Write the state machine as a condition on a transition."""
    return " OR ".join(
        f"(coalesce(from_status, '') = '{before or ''}' AND to_status IN ({_listed(after)}))"
        for before, after in TRANSITIONS.items()
        if after
    )


_USERS = _Query(
    "user",
    f"""SELECT u.id, u.unfinished, u.held, u.ready, coalesce(c.unfinished, 0) AS counted_unfinished,
        coalesce(c.held, 0) AS counted_held, coalesce(c.ready, 0) AS counted_ready
    FROM users u LEFT JOIN (
        SELECT user_id, sum(CASE WHEN status IN ({_UNFINISHED}) THEN 1 ELSE 0 END) AS unfinished,
            sum(CASE WHEN slot THEN 1 ELSE 0 END) AS held, sum(CASE WHEN {IN_LANE} THEN 1 ELSE 0 END) AS ready
        FROM jobs GROUP BY user_id) c ON c.user_id = u.id""",
    (
        _Rule(
            "A3",
            "unfinished <> counted_unfinished",
            "counts {unfinished} unfinished jobs and has {counted_unfinished}",
        ),
        _Rule("A3", "held <> counted_held", "counts {held} slots held and {counted_held} are"),
        _Rule("A3", "ready <> counted_ready", "counts {ready} jobs in the lanes and {counted_ready} are there"),
    ),
)

_TYPE_LIMITS = _Query(
    "type limit",
    """SELECT l.name AS id, l.held, count(j.id) AS counted FROM type_limits l
    LEFT JOIN jobs j ON j.slot AND j.slot_limit = l.name GROUP BY l.name, l.held""",
    (_Rule("A3", "held <> counted", "counts {held} slots held and {counted} are"),),
)

_JOBS = _Query(
    "job",
    """SELECT j.id, j.user_id, j.status, j.blocked_by, j.slot, j.worker_id, j.result, j.run_after, j.dispatched_at,
        j.finished_at, j.claim_no, u.id AS known_user, d.id AS letter
    FROM jobs j LEFT JOIN users u ON u.id = j.user_id
    LEFT JOIN dead_letters d ON d.job_id = j.id AND d.claim_no = j.claim_no AND j.status = 'failed'""",
    (
        _Rule("A1", "known_user IS NULL", "its user {user_id} does not exist, so nothing will ever take it"),
        _Rule("A1", "status = 'processing' AND NOT slot", "is processing without a slot, so no rescue would find it"),
        _Rule(
            "A1",
            "status = 'processing' AND worker_id IS NULL",
            "is processing at no worker, so no rescue would find it",
        ),
        _Rule(
            "A1",
            "status = 'queued' AND slot AND dispatched_at IS NULL",
            "has a slot and was never dispatched, so nothing will send it again",
        ),
        _Rule(
            "A1",
            "status = 'queued' AND blocked_by IN ('schedule', 'retry') AND run_after IS NULL",
            "waits for {blocked_by} without a moment, so it will never be due",
        ),
        _Rule(
            "A1",
            f"(finished_at IS NULL) = (status IN ({_FINAL}))",
            "is {status} with {finished_at} as the moment it finished",
        ),
        _Rule("A1", "status = 'failed' AND letter IS NULL", "failed at claim {claim_no} without a dead letter"),
        _Rule("A2", "result IS NOT NULL AND status <> 'completed'", "is {status} and has a result"),
        _Rule(
            "A3",
            f"slot AND status IN ({_FINAL}) AND (status <> 'cancelled' OR worker_id IS NULL)",
            "is {status} and holds a slot that no attempt will give back",
        ),
    ),
)

_LOST = _Query(
    "job",
    """SELECT t.job_id AS id, count(*) AS steps FROM transitions t LEFT JOIN jobs j ON j.id = t.job_id
    WHERE j.id IS NULL GROUP BY t.job_id""",
    (_Rule("A1", "steps > 0", "was lost: its {steps} transitions are there and the job is not"),),
)

_TRAILS = _Query(
    "job",
    """SELECT j.id, j.status, j.seq, j.claim_no, j.attempt, j.user_id, j.finished_at, t.steps, t.first_seq, t.last_seq,
        l.to_status AS last_status, l.from_status AS last_from, l.claim_no AS last_claim, l.attempt AS last_attempt,
        l.reason AS last_reason, l.user_id AS last_user, l.at AS last_at
    FROM jobs j LEFT JOIN (
        SELECT job_id, count(*) AS steps, min(seq) AS first_seq, max(seq) AS last_seq FROM transitions GROUP BY job_id
    ) t ON t.job_id = j.id LEFT JOIN transitions l ON l.job_id = t.job_id AND l.seq = t.last_seq""",
    (
        _Rule("A4", "steps IS NULL", "has no transitions"),
        _Rule("A4", "first_seq <> 1 OR last_seq <> steps", "has {steps} transitions, from {first_seq} to {last_seq}"),
        _Rule("A4", "seq <> steps", "counts {seq} transitions and has {steps}"),
        _Rule("A4", "status <> last_status", "is {status}, and its last transition led to {last_status}"),
        _Rule("A4", "claim_no <> last_claim", "is at claim {claim_no}, and its last transition at {last_claim}"),
        _Rule("A4", "user_id <> last_user", "is {user_id}'s, and its last transition {last_user}'s"),
        _Rule(
            "A4",
            f"status IN ({_FINAL}) AND finished_at <> last_at",
            "finished at {finished_at}, and its last transition was at {last_at}",
        ),
        _Rule(
            "A4",
            f"""attempt <> last_attempt AND NOT (last_from = 'processing' AND last_status = 'queued'
                AND attempt = last_attempt - 1 AND coalesce(last_reason, '') NOT IN ({_listed(_COUNTED)}))""",
            "is at attempt {attempt}, and its last transition ({last_reason}) at {last_attempt}",
        ),
    ),
)

_STEPS = _Query(
    "job",
    """SELECT t.job_id AS id, t.seq, t.from_status, t.to_status, t.attempt, t.claim_no, t.worker_id,
        lag(t.to_status) OVER trail AS left_status, lag(t.from_status) OVER trail AS left_from,
        lag(t.attempt) OVER trail AS left_attempt, lag(t.reason) OVER trail AS left_reason,
        coalesce(lag(t.claim_no) OVER trail, 0) AS left_claim, lag(t.worker_id) OVER trail AS left_worker
    FROM transitions t WINDOW trail AS (PARTITION BY t.job_id ORDER BY t.seq)""",
    (
        _Rule("A4", f"NOT ({_legal_steps()})", "step {seq} went from {from_status} to {to_status}"),
        _Rule(
            "A4",
            "from_status {differs} left_status",
            "step {seq} left {from_status}, and the step before it had led to {left_status}",
        ),
        _Rule(
            "A5",
            "claim_no <> left_claim + CASE WHEN to_status = 'processing' THEN 1 ELSE 0 END",
            "step {seq} to {to_status} has claim {claim_no}, and the step before it {left_claim}",
        ),
        _Rule(
            "A5",
            "from_status = 'processing' AND to_status = 'completed' AND worker_id {differs} left_worker",
            "step {seq} was written by {worker_id}, and the claim was of {left_worker}",
        ),
        _Rule(
            "A4",
            f"""to_status = 'processing' AND CASE
                WHEN left_from {{differs}} 'processing' THEN attempt <> 1
                WHEN left_reason IN ({_listed(_SPARED)}) THEN attempt <> left_attempt
                WHEN left_reason IN ({_listed(_COUNTED)}) THEN attempt <> left_attempt + 1
                ELSE attempt NOT IN (left_attempt, left_attempt + 1) END""",
            "step {seq} began attempt {attempt}, and the one before it was {left_attempt} ({left_reason})",
        ),
    ),
)

_KEYS = _Query(
    "user",
    """SELECT user_id AS id, idempotency_key, count(*) AS jobs FROM jobs WHERE idempotency_key IS NOT NULL
    GROUP BY user_id, idempotency_key""",
    (_Rule("A6", "jobs > 1", "has {jobs} jobs with the idempotency key {idempotency_key}"),),
)

_QUERIES = (_JOBS, _USERS, _TYPE_LIMITS, _LOST, _TRAILS, _STEPS, _KEYS)
