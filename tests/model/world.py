"""The world of the protocol's model: what the database holds, what is under way, and what each process believes.

Everything is a tuple, so that a state is a key of a dictionary. Numbers that only tell old from new are kept small: a
message says how far behind its job's last dispatch it is, and a process's id is the smallest that nobody remembers.
"""

from collections.abc import Iterable
from typing import NamedTuple

ASKED, QUEUED, PROCESSING = "asked", "queued", "processing"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
FINAL = (COMPLETED, FAILED, CANCELLED)
LEGAL = {
    ASKED: (QUEUED,),
    QUEUED: (PROCESSING, CANCELLED),
    PROCESSING: (QUEUED, COMPLETED, FAILED, CANCELLED),
    COMPLETED: (),
    FAILED: (QUEUED,),
    CANCELLED: (),
}

NOBODY = 0
RUNNING, FROZEN, CRASHED = "running", "frozen", "crashed"

# How a process stands to a claim of its own. The last three are what it holds without knowing, or without need.
WORKING = "working"  # an attempt is really at work
UNANSWERED = "unanswered"  # the claim is committed, its reply under way; the process does not know of it yet
MET = "met"  # the same, and a beat has met it
MISSED = "missed"  # a beat has found a claim that the process knows nothing of
OWED = "owed"  # the outcome was sent and no reply came, so that it is sent again


class Job(NamedTuple):
    """A row of jobs, and two things that only the model counts.

    `waits` is a retry's or snooze's back-off, `claims` how many claims there really were, `results` how many results.
    """

    status: str = ASKED
    slot: bool = False
    claim_no: int = 0
    attempt: int = 0
    worker: int = NOBODY
    waits: bool = False
    claims: int = 0
    results: int = 0


class Message(NamedTuple):
    """A message in the broker; `aged` are those that were there when their job was sent again."""

    job: int
    behind: int
    aged: bool = False


class Claim(NamedTuple):
    """What a process remembers of a claim; `made` is the true count of the job's claims at that time."""

    job: int
    claim_no: int
    made: int
    stage: str
    ending: str = ""


class Process(NamedTuple):
    """A worker process."""

    id: int
    mode: str = RUNNING
    hand: tuple[Claim, ...] = ()


class World(NamedTuple):
    """All there is.

    `alive` are the workers that the database takes for alive, `letters` the dead letters not replayed, `sql` says that the
    broker is the jobs table itself, `mishaps` is how many may still come, and `broken` what a statement did that none may do.
    """

    jobs: tuple[Job, ...]
    processes: tuple[Process, ...]
    alive: tuple[int, ...]
    held: int = 0
    messages: tuple[Message, ...] = ()
    letters: tuple[tuple[int, int], ...] = ()
    sql: bool = False
    mishaps: int = 0
    broken: str = ""

    def with_job(self, number: int, job: Job) -> "World":
        """Put a job in its place."""
        return self._replace(jobs=(*self.jobs[:number], job, *self.jobs[number + 1 :]))

    def with_process(self, number: int, process: Process) -> "World":
        """Put a process in its place."""
        return self._replace(processes=(*self.processes[:number], process, *self.processes[number + 1 :]))

    def with_hand(self, number: int, claims: Iterable[Claim]) -> "World":
        """Put claims into a process's hand."""
        return self.with_process(number, self.processes[number]._replace(hand=tuple(sorted(claims))))

    def fresh_id(self) -> int:
        """Give an id that nobody has or remembers, as a new UUID is."""
        known = {*self.alive, *(job.worker for job in self.jobs), *(process.id for process in self.processes)}
        return next(number for number in range(1, len(known) + 2) if number not in known)


def beginning(*, jobs: int, processes: int, mishaps: int, sql: bool = False) -> World:
    """Give the world before anything has happened."""
    ids = tuple(range(1, processes + 1))
    return World((Job(),) * jobs, tuple(Process(id) for id in ids), ids, sql=sql, mishaps=mishaps)
