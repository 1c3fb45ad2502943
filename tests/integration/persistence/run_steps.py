"""Steps of the tests of runs."""

from typing import Any

from sqlmodel import Session

from persistence import (
    runs,
)
from persistence.admission import Submission
from persistence.attempts import Ending
from persistence.database import Database
from persistence.dispatch import Taken
from persistence.runs import NewRun, OnFailure
from persistence.statements import run
from persistence.verify import verify
from tests import factories


def start(session: Session, user: str, *jobs: Submission, on_failure: OnFailure = OnFailure.CANCEL) -> tuple[str, list[str]]:
    """Admit a run of three jobs, or of those that are described; give its id and theirs."""
    new = NewRun("nightly", on_failure, '{"seed":7}')
    return new.id, factories.submit(session, user, *(jobs or factories.submissions(3)), run=new)


def standing(session: Session, run_id: str) -> tuple[str, dict[str, int]]:
    """Read how a run stands, and those of its counts that are not 0."""
    found = runs.get(session, run_id=run_id, user_id=None)
    assert found.total == sum(found.counts.values())
    return str(found.status), {status: count for status, count in found.counts.items() if count}


def ends(session: Session, worker: str, taken: Taken, ending: Ending = Ending.COMPLETED, **words: Any) -> None:
    """End an attempt."""
    if ending is Ending.COMPLETED:
        words["result"] = "1"
    if ending is Ending.FAILED:
        assert factories.fail(session, worker, taken)
        return
    assert factories.finish(session, worker, taken, ending, **words)


def letter_of(session: Session, job: str) -> str:
    """Find the newest dead letter of a job."""
    return str(run(session, "SELECT id FROM dead_letters WHERE job_id = :id ORDER BY claim_no DESC", id=job)[0].id)


def status(session: Session, job: str) -> str:
    """Read how a job stands."""
    return str(factories.fetch(session, "jobs", job).status)


def sound(database: Database) -> None:
    """Every invariant holds."""
    with database.read() as session:
        assert verify(session) == []
