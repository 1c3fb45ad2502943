"""Runs: exact counters whatever becomes of the jobs, a status that is read off them, and what failure means for the rest."""

from typing import Any

import pytest
from sqlmodel import Session

from persistence import (
    attempts,
    cancellation,
    dependencies,
    dispatch,
    job_lists,
    job_views,
    orphans,
    prune,
    replays,
    rescue,
    run_control,
    runs,
    workers,
)
from persistence.admission import Submission
from persistence.attempts import Ending
from persistence.database import Database
from persistence.dispatch import Taken
from persistence.errors import ConcurrentJobLimitError, IllegalTransitionError, NotFoundError
from persistence.job_lists import Filters
from persistence.runs import NewRun, OnFailure, RunStatus
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


def test_a_run_goes_from_pending_to_completed(session: Session) -> None:
    """Nothing started, something started, nothing left: the status follows the counts, and the moments are kept."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    assert standing(session, id_) == ("pending", {"queued": 3})

    first, second, third = factories.take(session, worker)
    assert standing(session, id_) == ("running", {"processing": 3})
    ends(session, worker, first)
    ends(session, worker, second, Ending.RETRY)
    assert standing(session, id_) == ("running", {"queued": 1, "processing": 1, "completed": 1})
    ends(session, worker, third, Ending.FAILED)
    (again,) = factories.take(session, worker)
    ends(session, worker, again)

    assert standing(session, id_) == ("completed", {"completed": 2, "failed": 1})
    found = runs.get(session, run_id=id_, user_id=ann)
    assert (found.name, found.config, found.total) == ("nightly", '{"seed":7}', 3)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.created_at <= found.started_at <= found.finished_at


def test_a_snooze_does_not_make_a_run_pending_again(session: Session) -> None:
    """A run that has begun has begun, though nothing of it is being processed at the moment."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission())
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.SNOOZED, delay_seconds=3600.0)
    assert standing(session, id_) == ("running", {"queued": 1})


def test_a_refused_run_leaves_nothing(session: Session) -> None:
    """A run that the tier has no room for is turned away with all its jobs."""
    ann = factories.user(session, tier=factories.tier(session, "two", max_active=2))
    with pytest.raises(ConcurrentJobLimitError):
        start(session, ann, *factories.submissions(3, tags=("x",)))
    counts = [run(session, f"SELECT count(*) FROM {table}").scalar_one() for table in ("runs", "run_groups", "jobs")]
    assert counts == [0, 0, 0]


def test_a_message_s_claim_counts(session: Session) -> None:
    """With a broker that has messages a job is counted as processing when it is claimed, and not when it is sent."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    sent = factories.take(session, None, mode=dispatch.Mode.SEND)
    assert standing(session, id_) == ("pending", {"queued": 3})
    attempts.claim(session, worker, [(job.id, job.dispatch_no) for job in sent[:2]])
    assert standing(session, id_) == ("running", {"queued": 1, "processing": 2})


def test_a_refused_outcome_counts_nothing(session: Session) -> None:
    """What the fence refuses is not counted, and what is written twice is counted once."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    first, second, _ = factories.take(session, worker)
    cancellation.cancel(session, job_id=first.id, user_id=ann)
    assert standing(session, id_)[1] == {"processing": 2, "cancelled": 1}
    assert factories.finish(session, worker, first, Ending.COMPLETED, result="1") == set()
    ends(session, worker, second)
    assert factories.finish(session, worker, second, Ending.COMPLETED, result="1") == set()
    assert standing(session, id_)[1] == {"processing": 1, "completed": 1, "cancelled": 1}


def test_a_rescue_counts(session: Session) -> None:
    """What a dead worker held goes back to queued, or to failed after its last attempt; each is counted."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission(), factories.submission(max_attempts=1), factories.submission())
    first, *_ = factories.take(session, worker)
    ends(session, worker, first)
    workers.declare_dead(session, worker_id=worker, beat_no=0)

    assert rescue.rescue(session) == 2

    assert standing(session, id_) == ("running", {"queued": 1, "completed": 1, "failed": 1})


def test_a_type_that_nobody_performs_counts(session: Session) -> None:
    """A job that fails because nobody performs its type is counted as failed."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission("strange.type", tags=("model:a",)))
    assert orphans.fail_type(session, kind="strange.type", worker_id=worker) == 1
    assert standing(session, id_) == ("completed", {"failed": 1})
    assert runs.by_tag(session, run_id=id_)["model:a"]["failed"] == 1


def test_a_replay_opens_a_run_again(session: Session) -> None:
    """A replayed job is counted back, and its run goes on until it has ended again."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, (job,) = start(session, ann, factories.submission())
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.FAILED)
    assert standing(session, id_) == ("completed", {"failed": 1})

    replays.replay(session, letter_id=letter_of(session, job), user_id=ann)
    replays.replay(session, letter_id=letter_of(session, job), user_id=ann)

    assert standing(session, id_) == ("running", {"queued": 1})
    assert runs.get(session, run_id=id_, user_id=ann).finished_at is None
    (again,) = factories.take(session, worker)
    ends(session, worker, again, Ending.FAILED)
    assert len(replays.replay_many(session, user_id=ann).jobs) == 1
    (again,) = factories.take(session, worker)
    ends(session, worker, again)
    assert standing(session, id_) == ("completed", {"completed": 1})


def test_follow_ups_join_the_run(session: Session) -> None:
    """A job that follows one of a run belongs to it, with its own tags, and is counted from its beginning on."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission(tags=("model:a",)))
    (taken,) = factories.take(session, worker)
    follow_ups = [factories.submission(tags=("model:b",)), factories.submission()]
    ends(session, worker, taken, follow_ups=follow_ups)

    assert standing(session, id_) == ("running", {"queued": 2, "completed": 1})
    by_model = runs.by_tag(session, run_id=id_, key="model")
    assert (by_model["a"]["completed"], by_model["b"]["queued"]) == (1, 1)
    assert {taken.run_id for taken in factories.take(session, worker)} == {id_}


def test_progress_by_tag(session: Session) -> None:
    """Jobs are counted by each of their tags, and by the values of those that have one; a part of a name is no match."""
    ann, worker = factories.user(session), factories.worker(session)
    asked = [
        factories.submission(tags=("model:a", "easy")),
        factories.submission(tags=("easy", "model:a")),
        factories.submission(tags=("model:b", "supermodel:c")),
        factories.submission(),
    ]
    id_, _ = start(session, ann, *asked)
    taken = factories.take(session, worker, room=1)
    ends(session, worker, taken[0])

    assert set(runs.by_tag(session, run_id=id_)) == {"model:a", "easy", "model:b", "supermodel:c"}
    assert runs.by_tag(session, run_id=id_)["easy"] == {
        "queued": 1, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert {model: sum(counts.values()) for model, counts in runs.by_tag(session, run_id=id_, key="model").items()} == {
        "a": 2, "b": 1,
    }  # fmt: skip
    assert run(session, "SELECT count(*) FROM run_groups").scalar_one() == 2  # whatever the order of the tags


def test_percent_is_whole_only_at_the_end() -> None:
    """What is not over is never shown as 100 percent."""
    counts = dict.fromkeys(runs.COUNTED, 0)
    assert runs.percent(counts | {"completed": 9999, "queued": 1}) == 99.9
    assert runs.percent(counts | {"completed": 1, "failed": 1, "cancelled": 1}) == 100.0
    assert runs.percent(counts | {"completed": 1, "queued": 2}) == 33.3


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
    with database.write() as session:
        assert run_control.resume(session, run_id=id_, user_id=ann).status is RunStatus.PENDING
        assert {taken.id for taken in factories.take(session, worker)} == set(jobs)
    with database.write() as session, pytest.raises(IllegalTransitionError):
        run_control.resume(session, run_id=id_, user_id=ann)
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
        assert runs.by_tag(session, run_id=id_, key="model")["a"]["cancelled"] == 3
        with pytest.raises(IllegalTransitionError):
            replays.replay(session, letter_id=letter_of(session, second.id), user_id=ann)
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
    with database.write() as session, pytest.raises(IllegalTransitionError):
        run_control.resume(session, run_id=id_, user_id=ann)
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
    for act in (run_control.pause, run_control.cancel):
        with pytest.raises(NotFoundError):
            act(database, run_id=id_, user_id=bob)
    with database.write() as session:
        with pytest.raises(NotFoundError):
            run_control.resume(session, run_id=id_, user_id=bob)
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


# Its end.


def test_a_run_is_pruned_as_a_whole(session: Session) -> None:
    """Finished jobs of a run stay until all of it is over for long enough; then it goes with them."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, *factories.submissions(2, tags=("x",)))
    first, second = factories.take(session, worker)
    ends(session, worker, first)
    assert prune.prune(session, older_than_seconds=-1.0) == 0
    ends(session, worker, second)

    assert prune.prune(session, older_than_seconds=-1.0) == 2

    counts = [run(session, f"SELECT count(*) FROM {table}").scalar_one() for table in ("runs", "run_groups", "jobs")]
    assert counts == [0, 0, 0]
    assert runs.listed(session, user_id=ann, before=None, limit=10) == []


def sound(database: Database) -> None:
    """Every invariant holds."""
    with database.read() as session:
        assert verify(session) == []
