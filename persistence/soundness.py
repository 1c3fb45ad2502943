"""Soundness: what every row of a database keeps to, as queries and the conditions that none of their rows meets."""

from persistence import run_soundness
from persistence.dependencies import DEPENDENCY_FAILED
from persistence.jobs import IN_LANE
from persistence.rules import Query, Rule, listed
from persistence.states import FINAL, TRANSITIONS, Status

# What a hand-back or a snooze returns, and what a retry or a rescue keeps; other reasons may do either.
_SPARED = ("snoozed", "handed_back")
_COUNTED = ("retry", "worker lost")


_FINAL = listed(FINAL)
_UNFINISHED = listed(set(Status) - FINAL)


def _legal_steps() -> str:
    """Write the state machine as a condition on a transition."""
    return " OR ".join(
        f"(coalesce(from_status, '') = '{before or ''}' AND to_status IN ({listed(after)}))"
        for before, after in TRANSITIONS.items()
        if after
    )


_USERS = Query(
    "user",
    f"""SELECT u.id, u.unfinished, u.held, u.ready, coalesce(c.unfinished, 0) AS counted_unfinished,
        coalesce(c.held, 0) AS counted_held, coalesce(c.ready, 0) AS counted_ready
    FROM users u LEFT JOIN (
        SELECT user_id, sum(CASE WHEN status IN ({_UNFINISHED}) THEN 1 ELSE 0 END) AS unfinished,
            sum(CASE WHEN slot THEN 1 ELSE 0 END) AS held, sum(CASE WHEN {IN_LANE} THEN 1 ELSE 0 END) AS ready
        FROM jobs GROUP BY user_id) c ON c.user_id = u.id""",
    (
        Rule(
            "A3",
            "unfinished <> counted_unfinished",
            "counts {unfinished} unfinished jobs and has {counted_unfinished}",
        ),
        Rule("A3", "held <> counted_held", "counts {held} slots held and {counted_held} are"),
        Rule("A3", "ready <> counted_ready", "counts {ready} jobs in the lanes and {counted_ready} are there"),
    ),
)

_TYPE_LIMITS = Query(
    "type limit",
    """SELECT l.name AS id, l.held, count(j.id) AS counted FROM type_limits l
    LEFT JOIN jobs j ON j.slot AND j.slot_limit = l.name GROUP BY l.name, l.held""",
    (Rule("A3", "held <> counted", "counts {held} slots held and {counted} are"),),
)

_JOBS = Query(
    "job",
    """SELECT j.id, j.user_id, j.status, j.blocked_by, j.slot, j.worker_id, j.result, j.run_after, j.dispatched_at,
        j.finished_at, j.claim_no, j.slot_limit, l.name AS known_limit, u.id AS known_user, d.id AS letter
    FROM jobs j LEFT JOIN users u ON u.id = j.user_id LEFT JOIN type_limits l ON l.name = j.slot_limit
    LEFT JOIN dead_letters d ON d.job_id = j.id AND d.claim_no = j.claim_no AND j.status = 'failed'""",
    (
        Rule("A1", "known_user IS NULL", "its user {user_id} does not exist, so nothing will ever take it"),
        Rule("A1", "status = 'processing' AND NOT slot", "is processing without a slot, so no rescue would find it"),
        Rule(
            "A1",
            "status = 'processing' AND worker_id IS NULL",
            "is processing at no worker, so no rescue would find it",
        ),
        Rule(
            "A1",
            "status = 'queued' AND slot AND dispatched_at IS NULL",
            "has a slot and was never dispatched, so nothing will send it again",
        ),
        Rule(
            "A1",
            "status = 'queued' AND slot AND worker_id IS NOT NULL",
            "is queued with a slot at worker {worker_id}, so that neither a rescue nor a message is for it",
        ),
        Rule(
            "A1",
            "status = 'queued' AND blocked_by IN ('schedule', 'retry') AND run_after IS NULL",
            "waits for {blocked_by} without a moment, so it will never be due",
        ),
        Rule(
            "A1",
            f"(finished_at IS NULL) = (status IN ({_FINAL}))",
            "is {status} with {finished_at} as the moment it finished",
        ),
        Rule("A1", "status = 'failed' AND letter IS NULL", "failed at claim {claim_no} without a dead letter"),
        Rule("A2", "result IS NOT NULL AND status <> 'completed'", "is {status} and has a result"),
        Rule(
            "A3",
            f"slot AND status IN ({_FINAL}) AND (status <> 'cancelled' OR worker_id IS NULL)",
            "is {status} and holds a slot that no attempt will give back",
        ),
        Rule(
            "A3", "slot AND slot_limit IS NOT NULL AND known_limit IS NULL", "holds a slot of {slot_limit}, which does not exist"
        ),
    ),
)

_LOST = Query(
    "job",
    """SELECT t.job_id AS id, count(*) AS steps FROM transitions t LEFT JOIN jobs j ON j.id = t.job_id
    WHERE j.id IS NULL GROUP BY t.job_id""",
    (Rule("A1", "steps > 0", "was lost: its {steps} transitions are there and the job is not"),),
)

_DEPENDANTS = Query(
    "job",
    f"""SELECT j.id, j.status, j.blocked_by, d.parent_id, p.status AS parent_status, j.error,
        coalesce(r.on_failure, 'cancel') AS on_failure, p.status IN ({_FINAL}) OR EXISTS (SELECT 1 FROM transitions t
            WHERE t.job_id = p.id AND t.to_status = 'failed') AS has_ended
    FROM dependencies d JOIN jobs j ON j.id = d.job_id JOIN jobs p ON p.id = d.parent_id
    LEFT JOIN runs r ON r.id = j.run_id WHERE p.status <> 'completed'""",
    (
        Rule("A1", "parent_id = id AND status = 'queued'", "waits for itself, so it will never be let go"),
        Rule(
            "A4",
            f"""status <> 'cancelled' AND coalesce(blocked_by, '') <> 'dependency'
            AND NOT (on_failure = 'continue' AND has_ended)
            AND NOT (on_failure = 'fail' AND status = 'failed' AND error LIKE '%{DEPENDENCY_FAILED}%')""",
            "is {status} and depends on {parent_id}, which is {parent_status}",
        ),
    ),
)

_FAILURES = Query(
    "job",
    """SELECT t.job_id AS id, t.claim_no, j.status, j.claim_no AS last_claim, count(d.id) AS letters,
        count(d.replayed_at) AS replayed
    FROM transitions t JOIN jobs j ON j.id = t.job_id
    LEFT JOIN dead_letters d ON d.job_id = t.job_id AND d.claim_no = t.claim_no
    WHERE t.to_status = 'failed' GROUP BY t.job_id, t.claim_no, j.status, j.claim_no""",
    (
        Rule("A1", "letters <> 1", "failed at claim {claim_no} and has {letters} dead letters of it"),
        Rule(
            "A1",
            "status = 'failed' AND claim_no = last_claim AND replayed > 0",
            "failed at claim {claim_no}, and its dead letter says that it was replayed, so that nobody can",
        ),
        Rule(
            "A5",
            "letters = 1 AND replayed = 0 AND (status <> 'failed' OR claim_no <> last_claim)",
            "is {status} though it failed at claim {claim_no} and that dead letter was not replayed",
        ),
    ),
)

_LETTERS = Query(
    "job",
    """SELECT d.job_id AS id, d.claim_no, count(t.seq) AS failures FROM dead_letters d
    LEFT JOIN transitions t ON t.job_id = d.job_id AND t.claim_no = d.claim_no AND t.to_status = 'failed'
    GROUP BY d.job_id, d.claim_no""",
    (Rule("A4", "failures = 0", "has a dead letter of claim {claim_no}, which did not fail"),),
)

_TRAILS = Query(
    "job",
    """SELECT j.id, j.status, j.seq, j.claim_no, j.attempt, j.user_id, j.finished_at, t.steps, t.first_seq, t.last_seq,
        l.to_status AS last_status, l.from_status AS last_from, l.claim_no AS last_claim, l.attempt AS last_attempt,
        l.reason AS last_reason, l.user_id AS last_user, l.at AS last_at
    FROM jobs j LEFT JOIN (
        SELECT job_id, count(*) AS steps, min(seq) AS first_seq, max(seq) AS last_seq FROM transitions GROUP BY job_id
    ) t ON t.job_id = j.id LEFT JOIN transitions l ON l.job_id = t.job_id AND l.seq = t.last_seq""",
    (
        Rule("A4", "steps IS NULL", "has no transitions"),
        Rule("A4", "first_seq <> 1 OR last_seq <> steps", "has {steps} transitions, from {first_seq} to {last_seq}"),
        Rule("A4", "seq <> steps", "counts {seq} transitions and has {steps}"),
        Rule("A4", "status <> last_status", "is {status}, and its last transition led to {last_status}"),
        Rule("A4", "claim_no <> last_claim", "is at claim {claim_no}, and its last transition at {last_claim}"),
        Rule("A4", "user_id <> last_user", "is {user_id}'s, and its last transition {last_user}'s"),
        Rule(
            "A4",
            f"status IN ({_FINAL}) AND finished_at <> last_at",
            "finished at {finished_at}, and its last transition was at {last_at}",
        ),
        Rule(
            "A4",
            f"""attempt <> last_attempt AND NOT (last_from = 'processing' AND last_status = 'queued'
                AND attempt = last_attempt - 1 AND coalesce(last_reason, '') NOT IN ({listed(_COUNTED)}))""",
            "is at attempt {attempt}, and its last transition ({last_reason}) at {last_attempt}",
        ),
    ),
)

_STEPS = Query(
    "job",
    """SELECT t.job_id AS id, t.seq, t.from_status, t.to_status, t.attempt, t.claim_no, t.worker_id, t.reason,
        lag(t.to_status) OVER trail AS left_status, lag(t.from_status) OVER trail AS left_from,
        lag(t.attempt) OVER trail AS left_attempt, lag(t.reason) OVER trail AS left_reason,
        coalesce(lag(t.claim_no) OVER trail, 0) AS left_claim, lag(t.worker_id) OVER trail AS left_worker
    FROM transitions t WINDOW trail AS (PARTITION BY t.job_id ORDER BY t.seq)""",
    (
        Rule("A4", f"NOT ({_legal_steps()})", "step {seq} went from {from_status} to {to_status}"),
        Rule(
            "A4",
            "from_status {differs} left_status",
            "step {seq} left {from_status}, and the step before it had led to {left_status}",
        ),
        Rule(
            "A5",
            f"from_status IN ({_FINAL}) AND coalesce(reason, '') <> 'replayed'",
            "step {seq} left {from_status} without a replay ({reason})",
        ),
        Rule(
            "A5",
            "claim_no <> left_claim + CASE WHEN to_status = 'processing' THEN 1 ELSE 0 END",
            "step {seq} to {to_status} has claim {claim_no}, and the step before it {left_claim}",
        ),
        Rule(
            "A5",
            "from_status = 'processing' AND to_status = 'completed' AND worker_id {differs} left_worker",
            "step {seq} was written by {worker_id}, and the claim was of {left_worker}",
        ),
        Rule(
            "A4",
            f"""to_status = 'processing' AND CASE
                WHEN left_from {{differs}} 'processing' THEN attempt <> 1
                WHEN left_reason IN ({listed(_SPARED)}) THEN attempt <> left_attempt
                WHEN left_reason IN ({listed(_COUNTED)}) THEN attempt <> left_attempt + 1
                ELSE attempt NOT IN (left_attempt, left_attempt + 1) END""",
            "step {seq} began attempt {attempt}, and the one before it was {left_attempt} ({left_reason})",
        ),
    ),
)

_KEYS = Query(
    "user",
    """SELECT user_id AS id, idempotency_key, count(*) AS jobs FROM jobs WHERE idempotency_key IS NOT NULL
    GROUP BY user_id, idempotency_key""",
    (Rule("A6", "jobs > 1", "has {jobs} jobs with the idempotency key {idempotency_key}"),),
)

QUERIES = (
    _JOBS, _USERS, _TYPE_LIMITS, *run_soundness.QUERIES, _LOST, _DEPENDANTS, _FAILURES, _LETTERS, _TRAILS, _STEPS, _KEYS
)  # fmt: skip
