"""Progress: written by the attempt that is at work, and by no other."""

import pytest
from sqlmodel import Session

from persistence import progress
from persistence.attempts import Ending
from tests import factories


@pytest.mark.parametrize("whose", ["now", "before", "elsewhere"])
def test_only_the_attempt_at_work_writes_its_progress(session: Session, whose: str) -> None:
    """What an earlier attempt says, even one of the same worker, or another worker, is not taken for what is done now."""
    # given
    ann = factories.user(session)
    factories.submit(session, ann)
    worker, other = factories.worker(session), factories.worker(session)
    (before,) = factories.take(session, worker)
    factories.finish(session, worker, before, Ending.RETRY, delay_seconds=0)
    (now,) = factories.take(session, worker)
    # when
    claim = before if whose == "before" else now
    progress.write(
        session, worker_id=other if whose == "elsewhere" else worker, steps=[(claim.id, claim.claim_no, 40.0, "so far")]
    )
    # then
    job = factories.fetch(session, "jobs", now.id)
    assert (job.progress_percent, job.progress_note) == ((40.0, "so far") if whose == "now" else (0.0, None))


@pytest.mark.parametrize("whose", ["now", "before", "elsewhere", "ended"])
def test_only_the_attempt_at_work_has_a_claim_that_stands(session: Session, whose: str) -> None:
    """An earlier claim, one of another worker and one that has ended do not stand."""
    # given
    ann = factories.user(session)
    factories.submit(session, ann)
    worker, other = factories.worker(session), factories.worker(session)
    (before,) = factories.take(session, worker)
    factories.finish(session, worker, before, Ending.RETRY, delay_seconds=0)
    (now,) = factories.take(session, worker)
    if whose == "ended":
        factories.finish(session, worker, now, Ending.COMPLETED)
    # when
    claim = before if whose == "before" else now
    who = other if whose == "elsewhere" else worker
    # then
    assert progress.stands(session, job_id=claim.id, claim_no=claim.claim_no, worker_id=who) == (whose == "now")
