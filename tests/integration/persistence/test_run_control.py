"""The hand on a run, and what becomes of those of its jobs that wait for others."""

from typing import Any

import pytest
from sqlmodel import Session

from persistence import (
    cancellation,
    dependencies,
    dispatch,
    job_lists,
    job_views,
    parking,
    replays,
    run_control,
    runs,
)
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import IllegalTransitionError, NotFoundError
from persistence.job_lists import Filters
from persistence.runs import OnFailure, RunStatus
from persistence.statements import run
from tests import factories
from tests.integration.persistence.run_steps import ends, letter_of, sound, standing, start, status

# What becomes of those who wait.


@pytest.mark.parametrize(
    ("policy", "of_failed", "of_cancelled"),
    [
        (OnFailure.FAIL, ("failed", "failed"), ("cancelled", "cancelled")),
        (OnFailure.CANCEL, ("cancelled", "cancelled"), ("cancelled", "cancelled")),
        (OnFailure.CONTINUE, ("queued", "queued"), ("queued", "queued")),
    ],
)
@pytest.mark.parametrize("cancels", [False, True])
def test_what_waits_for_a_lost_parent(
    session: Session,
    policy: OnFailure,
    of_failed: tuple[str, str],
    of_cancelled: tuple[str, str],
    *,
    cancels: bool,
) -> None:
    """A run's setting says what becomes of dependants, and of theirs, when what they wait for has failed."""
    ann, worker = factories.user(session), factories.worker(session)
    parent = factories.submission()
    child = factories.submission(depends_on=(parent.id,))
    grandchild = factories.submission(depends_on=(child.id,))
    id_, _ = start(session, ann, parent, child, grandchild, on_failure=policy)
    (taken,) = factories.take(session, worker)
    if cancels:
        cancellation.cancel(session, job_id=parent.id, user_id=ann)
    else:
        ends(session, worker, taken, Ending.FAILED)

    while dependencies.settle(session):
        pass

    expected = of_cancelled if cancels else of_failed
    assert (status(session, child.id), status(session, grandchild.id)) == expected
    blocked = [factories.fetch(session, "jobs", job.id).blocked_by for job in (child, grandchild)]
    assert blocked == ([None, "dependency"] if policy is OnFailure.CONTINUE else [None, None])
    total = standing(session, id_)[1]
    assert sum(total.values()) == 3
    if policy is OnFailure.FAIL and not cancels:
        row = factories.fetch(session, "jobs", child.id)
        assert f"the job {parent.id}" in row.error
        assert '"type":"DependencyFailed"' in row.error
        assert total == {"failed": 3}


def test_a_failed_chain_can_be_replayed(session: Session) -> None:
    """Dependants that failed with their parent wait for it again when all are replayed, and then complete in order."""
    ann, worker = factories.user(session), factories.worker(session)
    parent = factories.submission()
    child = factories.submission(depends_on=(parent.id,))
    id_, _ = start(session, ann, parent, child, on_failure=OnFailure.FAIL)
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.FAILED)
    assert dependencies.settle(session) == 1
    assert standing(session, id_) == ("completed", {"failed": 2})

    assert len(replays.replay_many(session, user_id=ann).jobs) == 2

    assert standing(session, id_) == ("running", {"queued": 2})
    assert factories.fetch(session, "jobs", child.id).blocked_by == "dependency"
    assert dependencies.settle(session) == 0
    (again,) = factories.take(session, worker)
    assert again.id == parent.id
    ends(session, worker, again)
    assert dependencies.settle(session) == 1
    (last,) = factories.take(session, worker)
    ends(session, worker, last)
    assert standing(session, id_) == ("completed", {"completed": 2})


def test_a_child_that_is_replayed_alone_fails_again(session: Session) -> None:
    """While its parent is a failure, a replayed dependant waits for it and fails again."""
    ann, worker = factories.user(session), factories.worker(session)
    parent = factories.submission()
    child = factories.submission(depends_on=(parent.id,))
    start(session, ann, parent, child, on_failure=OnFailure.FAIL)
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.FAILED)
    dependencies.settle(session)
    replays.replay(session, letter_id=letter_of(session, child.id), user_id=ann)
    assert factories.fetch(session, "users", ann).ready == 0
    assert factories.take(session, worker) == []
    assert dependencies.settle(session) == 1
    assert status(session, child.id) == "failed"
    assert factories.fetch(session, "users", ann).unfinished == 0


# The hand on a run.


def test_a_paused_run_gives_nothing_out(database: Database) -> None:
    """Of a paused run nothing is taken, of others everything; what had been sent comes back; resumed it goes on."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        id_, jobs = start(session, ann)
        factories.take(session, None, room=1, mode=dispatch.Mode.SEND)

    paused = run_control.pause(database, run_id=id_, user_id=ann)

    assert paused.status is RunStatus.PAUSED
    with database.write() as session:
        (other,) = factories.submit(session, ann)
        assert [taken.id for taken in factories.take(session, worker)] == [other]
        assert run(session, "SELECT count(*) FROM jobs WHERE status = 'queued' AND slot").scalar_one() == 0
        view = job_views.get(session, job_id=jobs[0], user_id=ann)
        assert view.waiting_for == "paused"
    with pytest.raises(IllegalTransitionError):
        run_control.pause(database, run_id=id_, user_id=ann)
    assert run_control.resume(database, run_id=id_, user_id=ann).status is RunStatus.PENDING
    with database.write() as session:
        assert {taken.id for taken in factories.take(session, worker)} == set(jobs)
    with pytest.raises(IllegalTransitionError):
        run_control.resume(database, run_id=id_, user_id=ann)
    sound(database)


def test_paused_jobs_leave_their_lane(database: Database) -> None:
    """Parked jobs cost dispatch nothing; what enters the lane later is parked by the sweeper, and a lost resume is made good."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        id_, jobs = start(session, ann)
        (held,) = factories.take(session, worker, room=1)
    run_control.pause(database, run_id=id_, user_id=ann)

    with database.write() as session:
        assert factories.fetch(session, "users", ann).ready == 0
        assert {factories.fetch(session, "jobs", job).blocked_by for job in jobs[1:]} == {"paused"}
        ends(session, worker, held, Ending.HANDED_BACK)
        assert factories.fetch(session, "users", ann).ready == 1
        assert factories.take(session, worker) == []
    with database.write() as session:
        assert (parking.settle(session), parking.settle(session)) == (1, 0)
        assert factories.fetch(session, "users", ann).ready == 0
        run(session, "UPDATE runs SET paused_at = NULL")  # and whoever resumed it is gone
    with database.write() as session:
        assert (parking.settle(session), parking.settle(session)) == (3, 0)
        assert len(factories.take(session, worker)) == 3
    sound(database)


def test_a_cancelled_run_keeps_what_is_completed(database: Database) -> None:
    """Queued and processing jobs are cancelled, results stay, and cancelled twice it is cancelled still."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        id_, _ = start(session, ann, *factories.submissions(5, tags=("model:a",)))
        first, second, third, *_ = factories.take(session, worker, room=3)
        ends(session, worker, first)
        ends(session, worker, second, Ending.FAILED)

    assert run_control.cancel(database, run_id=id_, user_id=ann).status is RunStatus.CANCELLED
    assert run_control.cancel(database, run_id=id_, user_id=ann).status is RunStatus.CANCELLED

    with database.write() as session:
        assert standing(session, id_) == ("cancelled", {"completed": 1, "failed": 1, "cancelled": 3})
        assert factories.finish(session, worker, third, Ending.COMPLETED, result="1") == set()
        assert runs.by_tag(session, run_id=id_, key="model")[1]["a"]["cancelled"] == 3
        letter = letter_of(session, second.id)
    with pytest.raises(IllegalTransitionError), database.write() as session:
        replays.replay(session, letter_id=letter, user_id=ann)
    with database.write() as session:
        assert replays.replay_many(session, user_id=ann).jobs == []
        assert replays.count(session, user_id=ann) == 0
    with pytest.raises(IllegalTransitionError):
        run_control.pause(database, run_id=id_, user_id=ann)
    sound(database)


def test_a_completed_run_is_not_cancelled(database: Database) -> None:
    """What is completed stays so: neither cancel nor pause nor resume is for it."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        id_, _ = start(session, ann, factories.submission())
        (taken,) = factories.take(session, worker)
        ends(session, worker, taken)
    for act in (run_control.pause, run_control.cancel):
        with pytest.raises(IllegalTransitionError):
            act(database, run_id=id_, user_id=ann)
    with pytest.raises(IllegalTransitionError):
        run_control.resume(database, run_id=id_, user_id=ann)
    sound(database)


def test_a_cancelled_run_takes_no_follow_ups(database: Database) -> None:
    """A job that ends between the cancelling of its run and its own completes, and what would follow it does not begin."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        id_, _ = start(session, ann, *factories.submissions(2))
        taken, _ = factories.take(session, worker)
        run(session, "UPDATE runs SET cancelled_at = created_at WHERE id = :id", id=id_)
        ends(session, worker, taken, follow_ups=[factories.submission()])
        assert standing(session, id_) == ("cancelled", {"processing": 1, "completed": 1})
    with database.write() as session:  # as the sweeper does for a caller who has gone away
        assert run_control.cancel_rest(session) == 1
        assert run_control.cancel_rest(session) == 0
        assert standing(session, id_)[1] == {"completed": 1, "cancelled": 1}
    sound(database)


def test_runs_are_their_users_own(database: Database) -> None:
    """Somebody else's run is not found, whatever one wants with it, and not in any list."""
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
        id_, _ = start(session, ann)
    for act in (run_control.pause, run_control.resume, run_control.cancel):
        with pytest.raises(NotFoundError):
            act(database, run_id=id_, user_id=bob)
    with database.write() as session:
        with pytest.raises(NotFoundError):
            runs.get(session, run_id=id_, user_id=bob)
        assert runs.listed(session, user_id=bob, before=None, limit=10) == []
        filters = Filters(run=id_)
        assert job_lists.ids(session, user_id=bob, filters=filters, before=None, limit=10) == ([], False)
        assert len(job_lists.ids(session, user_id=ann, filters=filters, before=None, limit=10)[0]) == 3
        assert len(job_lists.ids(session, user_id=None, filters=filters, before=None, limit=2)[0]) == 2


def test_jobs_of_a_run_are_listed_by_any_filter(session: Session) -> None:
    """The filters of the list of jobs narrow a run down, too."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, jobs = start(session, ann, factories.submission(tags=("a",)), factories.submission("tests.other"))
    factories.submit(session, ann, factories.submission(tags=("a",)))
    factories.take(session, worker, room=1)

    def found(**words: Any) -> list[str]:
        return job_lists.ids(session, user_id=ann, filters=Filters(run=id_, **words), before=None, limit=10)[0]

    assert found() == [jobs[1], jobs[0]]
    assert found(tag="a") == found(status="processing") == [jobs[0]]
    assert found(type="tests.other") == [jobs[1]]
    assert job_lists.ids(session, user_id=ann, filters=Filters(run=id_), before=jobs[1], limit=10)[0] == [jobs[0]]


def test_the_last_finished_come_first(session: Session) -> None:
    """Recent tasks are those that finished last."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    taken = factories.take(session, worker)
    for job in (taken[1], taken[2]):
        ends(session, worker, job)
    assert runs.last_finished(session, run_id=id_, limit=10) == [taken[2].id, taken[1].id]
    assert runs.last_finished(session, run_id=id_, limit=1) == [taken[2].id]
