"""The archive: finished jobs leave the counts of the queue, and nothing else."""

from sqlmodel import Session

from persistence import archive, prune, queue_status, replays
from persistence.attempts import Ending
from persistence.statements import run
from tests import factories
from tests.integration.persistence.run_steps import letter_of


def archived(session: Session) -> set[str]:
    """Name the archived jobs."""
    return {str(row.id) for row in run(session, "SELECT id FROM jobs WHERE archived_at IS NOT NULL")}


def test_d14_only_what_has_been_finished_for_long_is_archived(session: Session) -> None:
    """The oldest first, no more than was asked for; what is young, at work or in the lane stays."""
    ann, worker = factories.user(session), factories.worker(session)
    jobs = factories.submit(session, ann, *factories.submissions(5))
    taken = factories.take(session, worker)
    earlier = "UPDATE jobs SET finished_at = moment_after(finished_at, :by) WHERE id = :id"
    for number in range(3):
        factories.finish(session, worker, taken[number], Ending.COMPLETED, result="1")
        run(session, earlier, by=(number - 2) * 3700, id=jobs[number])

    assert archive.archive(session, older_than_seconds=3600.0, most=1) == 1
    assert archived(session) == {jobs[0]}
    assert archive.archive(session, older_than_seconds=3600.0, most=10) == 1
    assert archive.archive(session, older_than_seconds=3600.0, most=10) == 0
    assert archived(session) == {jobs[0], jobs[1]}
    for number in range(3):
        run(session, earlier, by=(2 - number) * 3700, id=jobs[number])


def test_d14_counts_pass_the_archive_by(session: Session) -> None:
    """One's own counts and everybody's: of finished jobs only the fresh ones, of unfinished ones all."""
    ann, bob, worker = factories.user(session), factories.user(session, "bob"), factories.worker(session)
    for user in (ann, bob):
        factories.submit(session, user, *factories.submissions(2))
    first, *_ = factories.take(session, worker)
    factories.finish(session, worker, first, Ending.COMPLETED, result="1")
    before = sum(sum(kinds.values()) for kinds in queue_status.counts(session, user_id=None).values())
    archive.archive(session, older_than_seconds=-1.0, most=10)

    everybody = queue_status.counts(session, user_id=None).values()
    assert (before, sum(sum(kinds.values()) for kinds in everybody)) == (4, 3)
    assert all("completed" not in kinds for kinds in everybody)
    assert sum(sum(kinds.values()) for kinds in queue_status.counts(session, user_id=bob).values()) == 2


def test_a_replay_takes_a_job_out_of_the_archive(session: Session) -> None:
    """A job that starts anew is archived anew, a while after it has finished again."""
    ann, worker = factories.user(session), factories.worker(session)
    (job,) = factories.submit(session, ann, *factories.submissions(1))
    (taken,) = factories.take(session, worker)
    factories.fail(session, worker, taken)
    archive.archive(session, older_than_seconds=-1.0, most=10)
    assert archived(session) == {job}

    replays.replay(session, letter_id=letter_of(session, job), user_id=ann)
    assert archived(session) == set()
    (again,) = factories.take(session, worker)
    factories.finish(session, worker, again, Ending.COMPLETED, result="1")
    assert archive.archive(session, older_than_seconds=3600.0, most=10) == 0


def test_an_archived_job_is_pruned_like_any_other(session: Session) -> None:
    """Retention asks when it finished and nothing else."""
    ann, worker = factories.user(session), factories.worker(session)
    jobs = factories.submit(session, ann, *factories.submissions(3))
    for taken in factories.take(session, worker):
        factories.finish(session, worker, taken, Ending.COMPLETED, result="1")
    archive.archive(session, older_than_seconds=-1.0, most=2)
    factories.submit(session, ann)
    assert prune.prune(session, older_than_seconds=-1.0, most=2) == 2
    assert prune.prune(session, older_than_seconds=-1.0, most=2) == 1
    assert run(session, "SELECT count(*) FROM transitions").scalar_one() == 1
    assert len(jobs) == 3


def test_no_transition_gets_the_number_of_one_that_was_pruned(session: Session) -> None:
    """Who follows the trail by its numbers, as webhooks do, misses nothing that comes after all of it has been pruned."""
    ann, worker = factories.user(session), factories.worker(session)
    factories.submit(session, ann)
    for taken in factories.take(session, worker):
        factories.finish(session, worker, taken, Ending.COMPLETED)
    newest = run(session, "SELECT max(id) FROM transitions").scalar_one()
    prune.prune(session, older_than_seconds=-1.0)
    factories.submit(session, ann)
    assert run(session, "SELECT max(id) FROM transitions").scalar_one() > newest
