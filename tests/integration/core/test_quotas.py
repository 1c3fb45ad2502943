"""Admission: exactly as many jobs as fit, in order of arrival, whole requests only, and each idempotency key once."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence import admission, cancellation
from persistence.admission import Admitted, Unit
from persistence.attempts import Ending
from persistence.database import Database
from persistence.errors import ConcurrentJobLimitError, IdempotencyMismatchError, ValidationError
from persistence.ids import new_id
from persistence.statements import run
from persistence.verify import verify
from tests import factories
from tests.integration.core.machine import clear, clears_itself

units = st.tuples(
    st.integers(0, 1),  # whose
    st.integers(1, 4),  # how many jobs
    st.none() | st.sampled_from("ab"),  # idempotency key, of a single job
    st.sampled_from("xy"),  # what the body was
    st.booleans(),  # at the door, or a follow-up
)


@clears_itself
@given(
    most=st.integers(1, 8),
    before=st.integers(0, 8),
    batches=st.lists(st.lists(units, min_size=1, max_size=8), min_size=1, max_size=3),
)
def test_a_batch_is_what_one_after_the_other_would_be(
    database: Database, most: int, before: int, batches: list[list[tuple[int, int, str | None, str, bool]]]
) -> None:
    """However requests fall into batches, each gets the answer that it would get alone, in its turn."""
    # given
    with database.write() as session:
        clear(session)
        tier = factories.tier(session, "tight", max_active=most)
        users = [factories.user(session, f"user-{number}", tier=tier) for number in range(2)]
        inside = dict.fromkeys(users, 0)
        for _ in range(min(before, most)):
            factories.submit(session, users[0])
            inside[users[0]] += 1
    keys: dict[tuple[str, str], tuple[str, str]] = {}
    for batch in batches:
        asked = [
            Unit(users[who], factories.submissions(1 if key else size), key, body if key else None, at_the_door=door)
            for who, size, key, body, door in batch
        ]
        # when
        with database.write() as session:
            answers = admission.submit(session, asked)
        # then
        for unit, answer in zip(asked, answers, strict=True):
            size, key = len(unit.submissions), (unit.user_id, unit.idempotency_key or "")
            if unit.idempotency_key and key in keys:
                earlier, body = keys[key]
                if body == unit.request_hash:
                    assert answer == Admitted([earlier], replayed=True)
                else:
                    assert isinstance(answer, IdempotencyMismatchError)
            elif unit.at_the_door and inside[unit.user_id] + size > most:
                assert isinstance(answer, ConcurrentJobLimitError)
                assert answer.fields["limit"] == most
            else:
                assert isinstance(answer, Admitted)
                assert answer.ids == [submission.id for submission in unit.submissions]
                inside[unit.user_id] += size
                if unit.idempotency_key:
                    keys[key] = (answer.ids[0], str(unit.request_hash))
    with database.read() as session:
        assert verify(session) == []
    with database.read() as session:
        counted = {str(row.id): row.unfinished for row in run(session, "SELECT id, unfinished FROM users")}
    assert counted == inside


def test_a_cancelled_job_makes_room_at_once(database: Database) -> None:
    """The tier counts what is unfinished: cancelling lets the next one in though the attempt has not ended."""
    with database.write() as session:
        user = factories.user(session, tier="free")
        (job,) = factories.submit(session, user)
        factories.take(session, factories.worker(session))
        cancellation.cancel(session, job_id=job, user_id=user)
        factories.submit(session, user)
        with pytest.raises(ConcurrentJobLimitError):
            factories.submit(session, user)


def test_a_key_of_another_user_is_another_key(database: Database) -> None:
    """Two users may use the same idempotency key."""
    with database.write() as session:
        users = [factories.user(session, name) for name in ("ann", "bob")]
        answers = admission.submit(session, [Unit(user, factories.submissions(1), "key", "hash") for user in users])
    assert [isinstance(answer, Admitted) and answer.replayed for answer in answers] == [False, False]


def test_parents_must_be_there_and_ones_own(database: Database) -> None:
    """A job depends on jobs of its user only; anything else is refused with the field's name and nothing is inserted."""
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
        (foreign,) = factories.submit(session, bob)
        for parent in (foreign, new_id()):
            with pytest.raises(ValidationError) as caught:
                factories.submit(session, ann, factories.submission(), factories.submission(depends_on=(parent,)))
            assert caught.value.fields["field"] == "depends_on"
        assert run(session, "SELECT unfinished FROM users WHERE id = :id", id=ann).scalar_one() == 0


@clears_itself
@given(
    rows=st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=8),
    batch=st.lists(st.integers(0, 10), min_size=1, max_size=5),
    taken=st.integers(0, 3),
)
def test_a_position_says_how_many_are_ahead(
    database: Database, rows: Sequence[tuple[int, bool]], batch: list[int], taken: int
) -> None:
    """The answered position is the place in which the job is taken, after those that hold a slot."""
    with database.write() as session:
        clear(session)
        user = factories.user(session)
        factories.submit(
            session,
            user,
            *(factories.submission(priority=priority, run_after=factories.moment("2100-01-01T00:00:00+00:00") if later else None)
              for priority, later in rows),
        )  # fmt: skip
        worker = factories.worker(session)
        held = factories.take(session, worker, room=taken)
        (answer,) = admission.submit(session, [Unit(user, [factories.submission(priority=priority) for priority in batch])])
        assert isinstance(answer, Admitted)
        order = [job.id for job in held] + [job.id for job in factories.take(session, worker)]
    assert answer.positions == [order.index(job) + 1 for job in answer.ids]


def test_a_replayed_letter_passes_admission(database: Database) -> None:
    """A replay needs room like any other job."""
    from persistence import dead_letters, replays

    with database.write() as session:
        user = factories.user(session, tier="free")
        factories.submit(session, user)
        worker = factories.worker(session)
        (taken,) = factories.take(session, worker)
        factories.fail(session, worker, taken)
        factories.submit(session, user)
        (letter,) = dead_letters.listed(session, user_id=user, limit=9)
    with pytest.raises(ConcurrentJobLimitError), database.write() as session:
        replays.replay(session, letter_id=letter.id, user_id=user)
    with database.write() as session:
        (taken,) = factories.take(session, worker)
        factories.finish(session, worker, taken, Ending.COMPLETED, result="1")
        assert replays.replay(session, letter_id=letter.id, user_id=user) == letter.job_id
