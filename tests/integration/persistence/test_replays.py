from threading import Barrier, Thread

import pytest
from sqlmodel import Session

from persistence import dead_letters, job_views, replays
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import ConcurrentJobLimitError, GreenroomError, IllegalTransitionError, NotFoundError
from persistence.statements import run
from tests import factories


def dead(session: Session, user_id: str, worker: str, kind: str = "ValueError") -> str:
    """Submit a job and let it fail for good; gives the dead letter's id."""
    factories.submit(session, user_id)
    (taken,) = factories.take(session, worker)
    factories.fail(session, worker, taken, kind)
    (letter, *_) = dead_letters.listed(session, user_id=user_id, limit=1)
    return letter.id


def test_a_replay_is_the_same_job_with_new_attempts(session: Session) -> None:
    """The job goes from failed to queued, counts its attempts anew and its claims on, and can complete."""
    ann, worker = factories.user(session), factories.worker(session)
    letter = dead(session, ann, worker)

    job = replays.replay(session, letter_id=letter, user_id=ann, payload='{"better":true}')

    row = factories.fetch(session, "jobs", job)
    assert (row.status, row.attempt, row.claim_no, row.payload, row.error) == ("queued", 0, 1, '{"better":true}', None)
    (taken,) = factories.take(session, worker)
    assert (taken.id, taken.attempt, taken.claim_no) == (job, 1, 2)
    factories.finish(session, worker, taken, Ending.COMPLETED, result="1")
    assert [step.to_status for step in job_views.history(session, job_id=job, user_id=ann)] == [
        "queued",
        "processing",
        "failed",
        "queued",
        "processing",
        "completed",
    ]


def test_pressed_twice_it_replays_once(session: Session) -> None:
    """A second press gives the same job and changes nothing, even when the job has failed again since."""
    ann, worker = factories.user(session), factories.worker(session)
    letter = dead(session, ann, worker)
    job = replays.replay(session, letter_id=letter, user_id=ann)

    assert replays.replay(session, letter_id=letter, user_id=ann) == job
    assert factories.fetch(session, "jobs", job).seq == 4
    (taken,) = factories.take(session, worker)
    factories.fail(session, worker, taken)

    assert replays.replay(session, letter_id=letter, user_id=ann) == job
    assert factories.fetch(session, "jobs", job).status == "failed"


def test_a_replay_needs_room(session: Session) -> None:
    """A user at the limit gets the limit's error, and nothing is marked as replayed."""
    ann, worker = factories.user(session, tier="free"), factories.worker(session)
    letter = dead(session, ann, worker)
    factories.submit(session, ann)

    with pytest.raises(ConcurrentJobLimitError) as caught, session.begin_nested():
        replays.replay(session, letter_id=letter, user_id=ann)

    assert caught.value.fields["limit"] == 1
    assert dead_letters.get(session, letter_id=letter, user_id=ann).replayed_at is None


def test_foreign_letters_are_as_good_as_none(session: Session) -> None:
    """Nobody reads, lists, replays or deletes somebody else's dead letters."""
    ann, bob, worker = factories.user(session, "ann"), factories.user(session, "bob"), factories.worker(session)
    letter = dead(session, ann, worker)

    for verb in (dead_letters.get, dead_letters.delete, replays.replay):
        with pytest.raises(NotFoundError):
            verb(session, letter_id=letter, user_id=bob)
    assert dead_letters.listed(session, user_id=bob, limit=10) == []
    assert replays.replay_many(session, user_id=bob).jobs == []
    assert [found.id for found in dead_letters.listed(session, user_id=None, limit=10)] == [letter]


def test_a_bulk_goes_as_far_as_there_is_room(session: Session) -> None:
    """Of the letters that fit the filter the oldest are replayed first, and what has no room is counted."""
    ann, worker = factories.user(session, tier="free"), factories.worker(session)
    other = dead(session, ann, worker, "KeyError")
    letters = [dead(session, ann, worker) for _ in range(3)]

    done = replays.replay_many(session, user_id=ann, fingerprint="ValueError")

    assert done.jobs == [dead_letters.get(session, letter_id=letters[0], user_id=ann).job_id]
    assert (done.refused, done.last) == (2, letters[2])
    assert dead_letters.get(session, letter_id=other, user_id=ann).replayed_at is None


def test_a_letter_of_an_earlier_claim_is_history(session: Session) -> None:
    """A letter whose job failed again by another way cannot bring back the job of the newer letter."""
    ann, worker = factories.user(session), factories.worker(session)
    first = dead(session, ann, worker)
    job = replays.replay(session, letter_id=first, user_id=ann)
    (taken,) = factories.take(session, worker)
    factories.fail(session, worker, taken)
    run(session, "UPDATE dead_letters SET replayed_at = NULL WHERE id = :id", id=first)

    with pytest.raises(IllegalTransitionError), session.begin_nested():
        replays.replay(session, letter_id=first, user_id=ann)
    assert len(replays.replay_many(session, user_id=ann).jobs) == 1
    assert factories.fetch(session, "jobs", job).status == "queued"
    run(session, "UPDATE dead_letters SET replayed_at = died_at WHERE id = :id", id=first)


def test_a_race_replays_once(database: Database) -> None:
    """Of two presses at the same moment one replays and the other one finds it done."""
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        letter = dead(session, ann, worker)
    start, answers = Barrier(2), []

    def press() -> None:
        start.wait()
        try:
            with database.write() as session:
                answers.append(replays.replay(session, letter_id=letter, user_id=ann))
        except GreenroomError as error:  # pragma: no cover - only when the guard is missing
            answers.append(repr(error))

    threads = [Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        row = factories.fetch(session, "jobs", answers[0])
        assert answers == [str(row.id)] * 2
        assert row.seq == 4
        assert factories.fetch(session, "users", ann).unfinished == 1
