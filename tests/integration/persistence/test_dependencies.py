from contextlib import closing

import pytest
from sqlmodel import Session

from persistence import cancellation, dependencies, job_views, prune
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import ValidationError
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests import factories


def status(session: Session, job: str) -> tuple[str, str | None]:
    """Read how a job stands and what keeps it."""
    row = factories.fetch(session, "jobs", job)
    return row.status, row.blocked_by


def done(session: Session, worker: str, count: int, ending: Ending = Ending.COMPLETED) -> None:
    """Take jobs and end them."""
    for taken in factories.take(session, worker, room=count):
        factories.finish(session, worker, taken, ending)


def test_dependants_are_let_go_when_all_parents_have_completed(session: Session) -> None:
    """One finished parent of two is not enough; the second one opens the lane, and nothing did so before."""
    ann, worker = factories.user(session), factories.worker(session)
    parents = tuple(factories.submit(session, ann, *factories.submissions(2)))
    (child,) = factories.submit(session, ann, factories.submission(depends_on=parents))

    assert dependencies.settle(session) == 0
    done(session, worker, 1)
    assert dependencies.settle(session, parents=parents) == 0
    assert status(session, child) == ("queued", "dependency")
    done(session, worker, 1)

    assert dependencies.settle(session, parents=parents) == 1
    assert status(session, child) == ("queued", None)
    assert factories.fetch(session, "users", ann).ready == 1


def test_a_dependant_with_a_moment_goes_on_waiting_for_it(session: Session) -> None:
    """When the parents are done, a moment that lies ahead still counts."""
    ann, worker = factories.user(session), factories.worker(session)
    parents = tuple(factories.submit(session, ann))
    (child,) = factories.submit(
        session, ann, factories.submission(depends_on=parents, run_after=factories.moment("2100-01-01T00:00:00Z"))
    )
    done(session, worker, 1)

    assert dependencies.settle(session) == 1

    assert status(session, child) == ("queued", "schedule")
    assert factories.fetch(session, "users", ann).ready == 0


@pytest.mark.parametrize("failed", [True, False])
def test_a_lost_parent_cancels_all_that_follows(session: Session, *, failed: bool) -> None:
    """A parent that failed or was cancelled takes its dependants and theirs with it, and the trail says why."""
    ann, worker = factories.user(session), factories.worker(session)
    (parent,) = factories.submit(session, ann)
    (child,) = factories.submit(session, ann, factories.submission(depends_on=(parent,)))
    (grandchild,) = factories.submit(session, ann, factories.submission(depends_on=(child,)))
    if failed:
        (taken,) = factories.take(session, worker)
        factories.fail(session, worker, taken)
    else:
        cancellation.cancel(session, job_id=parent, user_id=ann)

    rounds = 0
    while dependencies.settle(session):
        rounds += 1

    assert rounds == 2
    assert status(session, child) == status(session, grandchild) == ("cancelled", None)
    assert job_views.history(session, job_id=child, user_id=ann)[-1].reason == "dependency failed"
    assert factories.fetch(session, "users", ann).unfinished == 0


@pytest.mark.parametrize("failed", [True, False])
def test_a_lost_parent_is_not_pruned_before_its_dependants_are_cancelled(session: Session, *, failed: bool) -> None:
    """However short the retention, a job is never let go because what it depends on is no longer there to have been lost."""
    # given
    ann, worker = factories.user(session), factories.worker(session)
    (parent,) = factories.submit(session, ann)
    (child,) = factories.submit(session, ann, factories.submission(depends_on=(parent,)))
    if failed:
        (taken,) = factories.take(session, worker)
        factories.fail(session, worker, taken)
    else:
        cancellation.cancel(session, job_id=parent, user_id=ann)
    # when
    pruned = prune.prune(session, older_than_seconds=-1.0)
    dependencies.settle(session)
    # then
    assert pruned == 0
    assert status(session, child) == ("cancelled", None)
    factories.submit(session, ann)
    assert prune.prune(session, older_than_seconds=-1.0) == 2


@pytest.mark.postgresql
def test_a_parent_is_not_pruned_while_it_gets_a_dependant(postgres_database: str) -> None:
    """A submission that has not been committed yet counts, too, and holds nobody up."""
    with closing(Database(DatabaseSettings(), url=postgres_database)) as database:
        # given
        with database.write() as session:
            ann = factories.user(session)
            (parent,) = factories.submit(session, ann)
            cancellation.cancel(session, job_id=parent, user_id=ann)
        # when
        with database.write() as submitting:
            (child,) = factories.submit(submitting, ann, factories.submission(depends_on=(parent,)))
            run(submitting, "SELECT 1")  # what can wait until the next statement has waited
            with database.write() as pruning:
                run(pruning, "SET LOCAL lock_timeout = '1s'")
                pruned = prune.prune(pruning, older_than_seconds=-1.0)
        # then
        with database.write() as session:
            dependencies.settle(session)
            assert (pruned, status(session, child)) == (0, ("cancelled", None))


def test_nobody_waits_for_a_strangers_job(session: Session) -> None:
    """A job of another user is no job to depend on."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    (job,) = factories.submit(session, ann)

    with pytest.raises(ValidationError):
        factories.submit(session, bob, factories.submission(depends_on=(job,)))


@pytest.mark.postgresql
def test_statistics_of_other_runs_make_no_bad_plan(postgres_database: str) -> None:
    """Where jobs used to wait for hundreds of others each, a job that a thousand wait for lets them go by a few rows each."""
    # given
    with closing(Database(DatabaseSettings(), url=postgres_database)) as database:
        with database.write() as session:
            ann = factories.user(session)
            parents = tuple(factories.submit(session, ann, *factories.submissions(300)))
            factories.submit(session, ann, *(factories.submission(depends_on=parents) for _ in range(5)))
            run(session, "UPDATE jobs SET status = 'completed', finished_at = clock_timestamp(), blocked_by = NULL")
            run(session, "UPDATE users SET unfinished = 0, ready = 0")
        with database.write() as session:
            run(session, "ANALYZE dependencies, jobs")
        with database.write() as session:
            (root,) = factories.submit(session, ann)
            factories.submit(session, ann, *(factories.submission(depends_on=(root,)) for _ in range(1_000)))
        with database.write() as session:
            run(session, "UPDATE jobs SET status = 'completed', finished_at = clock_timestamp() WHERE id = :id", id=root)
        # when
        with database.write() as session:
            let_go = dependencies.settle(session, parents=[root])
            read = run(session, "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables").scalar_one()
    # then
    assert let_go == cancellation.CHUNK
    assert read < 20 * 1_000
