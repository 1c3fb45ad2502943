from sqlmodel import Session

from persistence import event_feed
from persistence.attempts import Ending
from persistence.database import Database
from persistence.event_feed import START, Position, Watched
from tests import factories


def steps(session: Session, after: Position, watched: Watched) -> tuple[list[tuple[str, str]], Position]:
    """Read on, as pairs of a job and the status that it came to."""
    found, end = event_feed.read(session, after=after, watched=watched)
    return [(step.job_id, step.to) for step in found], end


def test_the_feed_tells_only_what_is_watched(database: Database) -> None:
    """A reader sees the steps of its users and jobs in their order, once, and goes on where it stopped."""
    with database.write() as session:
        ann, bob, worker = factories.user(session, "ann"), factories.user(session, "bob"), factories.worker(session)
    with database.write() as session:
        (mine,) = factories.submit(session, ann)
    with database.write() as session:
        theirs, other = factories.submit(session, bob, *factories.submissions(2))
    with database.write() as session:
        for taken in factories.take(session, worker):
            factories.finish(session, worker, taken, Ending.COMPLETED)

    with database.read() as session:
        life = ["queued", "processing", "completed"]
        assert sorted(steps(session, START, Watched(users=[ann]))[0]) == sorted((mine, to) for to in life)
        found, end = steps(session, START, Watched(jobs=[theirs], users=[ann]))
        assert [to for job, to in found if job == theirs] == life
        assert other not in {job for job, _ in found}
        assert len(steps(session, START, Watched(everybody=True))[0]) == 9
        assert steps(session, START, Watched())[0] == []
        assert steps(session, end, Watched(everybody=True)) == ([], end)


def test_a_limit_loses_nothing(database: Database) -> None:
    """Reading in pieces gives the same as reading at once, although one transaction wrote it all."""
    with database.write() as session:
        ann = factories.user(session)
        jobs = factories.submit(session, ann, *factories.submissions(7))

    with database.read() as session:
        place, seen = START, []
        for _ in range(4):
            found, place = event_feed.read(session, after=place, watched=Watched(users=[ann]), limit=2)
            seen += [step.job_id for step in found]

    assert sorted(seen) == sorted(jobs)


def test_a_late_commit_is_not_missed(database: Database) -> None:
    """What another transaction wrote first and commits last is seen by a reader that has read past it."""
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    if database.is_sqlite:  # one transaction writes at a time: nothing can be late
        return
    with database.write() as late:
        (slow,) = factories.submit(late, ann)
        with database.write() as session:
            (fast,) = factories.submit(session, bob)
        with database.read() as session:
            before, place = steps(session, START, Watched(everybody=True))
    with database.read() as session:
        after, _ = steps(session, place, Watched(everybody=True))

    assert before == []
    assert after == [(slow, "queued"), (fast, "queued")]


def test_progress_is_told_while_it_is_made(session: Session) -> None:
    """The progress of a processing job is there for its watchers and nobody else."""
    ann, bob, worker = factories.user(session, "ann"), factories.user(session, "bob"), factories.worker(session)
    (job,) = factories.submit(session, ann)
    (taken,) = factories.take(session, worker)
    assert event_feed.progress(session, watched=Watched(everybody=True)) == []

    factories.progress(session, worker, taken, 40.0, "page 4")

    for watched in (Watched(everybody=True), Watched(users=[ann]), Watched(jobs=[job])):
        (told,) = event_feed.progress(session, watched=watched)
        assert (told.job_id, told.attempt, told.percent, told.note) == (job, 1, 40.0, "page 4")
    assert event_feed.progress(session, watched=Watched(users=[bob])) == []
