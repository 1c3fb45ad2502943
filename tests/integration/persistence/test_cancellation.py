import pytest
from sqlmodel import Session

from persistence import cancellation, job_views
from persistence.attempts import Ending
from persistence.dispatch import Mode
from persistence.errors import JobFinishedError, NotFoundError
from persistence.ids import new_id
from persistence.workers import set_type_limits
from tests import factories


def counters_of(session: Session, user_id: str) -> tuple[int, int, int]:
    """Read what a user has: unfinished jobs, slots, jobs in the lane."""
    user = factories.fetch(session, "users", user_id)
    return user.unfinished, user.held, user.ready


def test_a_waiting_job_goes_at_once(session: Session) -> None:
    """A queued job is cancelled, leaves its lane and makes room, with one transition; again changes nothing."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann)
    assert counters_of(session, ann) == (1, 0, 1)

    assert cancellation.cancel(session, job_id=job, user_id=ann)
    assert not cancellation.cancel(session, job_id=job, user_id=ann)

    assert counters_of(session, ann) == (0, 0, 0)
    steps = job_views.history(session, job_id=job, user_id=ann)
    assert [(step.from_status, step.to_status) for step in steps] == [(None, "queued"), ("queued", "cancelled")]


def test_a_scheduled_job_never_was_in_the_lane(session: Session) -> None:
    """A job that waits for a moment is cancelled without taking anything from the count of the lane."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann, factories.submission(run_after=factories.moment("2100-01-01T00:00:00Z")))

    cancellation.cancel(session, job_id=job, user_id=ann)

    assert counters_of(session, ann) == (0, 0, 0)
    assert factories.fetch(session, "jobs", job).blocked_by is None


def test_a_dispatched_job_gives_its_slot_back(session: Session) -> None:
    """A job that was sent and not claimed frees its user's slot, its type limit and its charge at once."""
    ann = factories.user(session)
    set_type_limits(session, {"tests.*": 3})
    (job,) = factories.submit(session, ann)
    factories.worker(session)
    limits = {factories.TYPE: "tests.*"}
    assert len(factories.take(session, None, mode=Mode.SEND, limits=limits)) == 1
    assert counters_of(session, ann) == (1, 1, 0)

    cancellation.cancel(session, job_id=job, user_id=ann)

    assert counters_of(session, ann) == (0, 0, 0)
    assert not factories.fetch(session, "jobs", job).slot


def test_a_processing_job_keeps_its_slot_until_the_attempt_ends(session: Session) -> None:
    """Cancelled at once, the slot stays with the attempt; its outcome is refused and gives the slot back."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann)
    worker = factories.worker(session)
    (taken,) = factories.take(session, worker)

    assert cancellation.cancel(session, job_id=job, user_id=ann)

    assert counters_of(session, ann) == (0, 1, 0)
    assert factories.finish(session, worker, taken, Ending.COMPLETED, result="1") == set()
    assert counters_of(session, ann) == (0, 0, 0)
    row = factories.fetch(session, "jobs", job)
    assert (row.status, row.result, bool(row.slot)) == ("cancelled", None, False)


def test_a_finished_job_is_left_alone(session: Session) -> None:
    """What has completed cannot be cancelled."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann)
    worker = factories.worker(session)
    (taken,) = factories.take(session, worker)
    factories.finish(session, worker, taken, Ending.COMPLETED, result="1")

    with pytest.raises(JobFinishedError):
        cancellation.cancel(session, job_id=job, user_id=ann)
    assert factories.fetch(session, "jobs", job).status == "completed"


def test_nobody_cancels_for_somebody_else(session: Session) -> None:
    """A foreign job is as good as none, and stays as it is."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    (job,) = factories.submit(session, ann)

    with pytest.raises(NotFoundError):
        cancellation.cancel(session, job_id=job, user_id=bob)
    assert cancellation.cancel_many(session, job_ids=[job], user_id=bob) == []
    assert factories.fetch(session, "jobs", job).status == "queued"


def test_many_at_once(session: Session) -> None:
    """A chunk of jobs of several users in all states loses exactly its unfinished ones, and the counters follow."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    jobs = factories.submit(session, ann, *factories.submissions(5))
    jobs += factories.submit(session, bob, *factories.submissions(3))
    worker = factories.worker(session)
    taken = factories.take(session, worker, room=2)
    factories.finish(session, worker, taken[0], Ending.COMPLETED, result="1")

    cancelled = cancellation.cancel_many(session, job_ids=jobs, user_id=None)

    assert sorted(cancelled) == sorted(set(jobs) - {taken[0].id})
    assert counters_of(session, ann)[0] == counters_of(session, bob)[0] == 0
    assert counters_of(session, ann)[1] + counters_of(session, bob)[1] == 1


def test_by_subject(session: Session) -> None:
    """The jobs of one thing are cancelled, and no others."""
    ann = factories.user(session)
    book = new_id()
    (about, other) = factories.submit(session, ann, factories.submission(subject=book), factories.submission())

    assert cancellation.cancel_subject(session, subject=book, user_id=ann, reason="book deleted") == 1

    assert factories.fetch(session, "jobs", about).status == "cancelled"
    assert factories.fetch(session, "jobs", other).status == "queued"
