"""The state machine of a job, written once: guarded statements, the CHECK constraint and the docs come from here."""

from enum import StrEnum


class Status(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WaitingFor(StrEnum):
    """Why a queued job is not being processed."""

    USER_LIMIT = "user_limit"
    TYPE_LIMIT = "type_limit"
    PAUSED = "paused"
    SCHEDULE = "schedule"
    RETRY = "retry"
    DEPENDENCY = "dependency"
    WORKER = "worker"


# What keeps a job out of its lane is stored on the row; the other reasons are read off the limits of the moment.
STORED_REASONS = (WaitingFor.SCHEDULE, WaitingFor.RETRY, WaitingFor.DEPENDENCY, WaitingFor.PAUSED)

FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

TRANSITIONS: dict[Status | None, frozenset[Status]] = {
    None: frozenset({Status.QUEUED}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.QUEUED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}


def is_legal(before: Status | None, after: Status) -> bool:
    """Tell whether a job may go from one status to the other; `None` is the moment before it exists."""
    return after in TRANSITIONS[before]


def mermaid() -> str:
    """Draw the state machine as a Mermaid diagram."""
    lines = ["stateDiagram-v2"]
    for before, targets in TRANSITIONS.items():
        lines += [f"    {before or '[*]'} --> {after}" for after in sorted(targets)]
    lines += [f"    {status} --> [*]" for status in sorted(FINAL)]
    return "\n".join(lines) + "\n"
