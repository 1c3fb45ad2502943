"""Firing: each moment of a schedule once, what was missed as its policy says, and never past the user's limit."""

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session

from persistence import admission, due, firing, schedules
from persistence.attempts import Ending
from persistence.database import Database, as_instant
from persistence.database import now as database_now
from persistence.errors import NotFoundError, ValidationError
from persistence.schedules import Missed, Schedule
from persistence.statements import run
from persistence.verify import verify
from tests import factories


def made(session: Session, user: str, cron: str = "* * * * *", **words: Any) -> str:
    """Enter a schedule."""
    wishes: dict[str, Any] = {"timezone": "UTC", "missed_policy": Missed.LAST, "max_attempts": 4} | words
    schedule = Schedule(user_id=user, type=factories.TYPE, queue=factories.QUEUE, payload="{}", cron=cron, **wishes)
    return schedules.create(session, schedule).id


def this_minute(session: Session) -> datetime:
    """Give the latest full minute of the database's clock."""
    moment = as_instant(database_now(session))
    assert moment is not None
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def let_pass(session: Session, schedule_id: str, minutes: int) -> list[datetime]:
    """Let the next moment be some minutes ago; give the moments since, of a schedule of every minute."""
    last = this_minute(session)
    moments = [last - timedelta(minutes=ago) for ago in reversed(range(minutes + 1))]
    text = moments[0].strftime("%Y-%m-%d %H:%M:%S.%f")
    run(session, "UPDATE schedules SET next_at = :then, due_at = :then WHERE id = :id", then=text, id=schedule_id)
    return moments


def jobs(session: Session) -> list[str]:
    """List all jobs."""
    return [str(row.id) for row in run(session, "SELECT id FROM jobs ORDER BY id")]


def read(session: Session, schedule_id: str) -> Schedule:
    """Read a schedule."""
    return schedules.get(session, schedule_id=schedule_id, user_id=None)


def test_a_moment_fires_once_and_the_next_one_is_found(session: Session) -> None:
    """A moment that has come makes one job with all that the schedule says; asked again nothing is due."""
    ann = factories.user(session)
    id_ = made(session, ann, priority=9, tags="nightly\nbig")
    assert firing.fire(session) == 0
    (moment,) = let_pass(session, id_, 0)

    assert (firing.fire(session), firing.fire(session)) == (1, 0)

    (job,) = jobs(session)
    row, schedule = factories.fetch(session, "jobs", job), read(session, id_)
    assert (row.type, row.priority, row.tags, row.max_attempts) == (factories.TYPE, 9, "nightly\nbig", 4)
    assert (schedule.last_job_id, schedule.last_at, schedule.fired, schedule.missed) == (job, moment, 1, 0)
    assert schedule.next_at in {moment + timedelta(minutes=1), moment + timedelta(minutes=2)}
    assert job == firing.job_id_of(id_, moment)
    assert factories.fetch(session, "users", ann).unfinished == 1


@pytest.mark.parametrize(
    ("policy", "minutes", "fired", "missed"),
    [
        (Missed.LAST, 10, 1, 10),
        (Missed.ALL, 10, 11, 0),
        (Missed.ALL, 150, firing.MOST_AT_ONCE, 51),
    ],
)
def test_missed_moments(session: Session, policy: Missed, minutes: int, fired: int, missed: int) -> None:
    """Moments that nobody was there for fire as the policy says: the latest one, or each up to a bound."""
    ann = factories.user(session)
    id_ = made(session, ann, missed_policy=policy)
    moments = let_pass(session, id_, minutes)

    assert firing.fire(session) == fired

    assert jobs(session) == [firing.job_id_of(id_, moment) for moment in moments[-fired:]]
    schedule = read(session, id_)
    assert (schedule.fired, schedule.missed, schedule.last_at) == (fired, missed, moments[-1])
    assert firing.fire(session) == 0


def test_missed_moments_are_skipped(session: Session) -> None:
    """With `skip` what was missed is only counted, and the next moment fires on time again."""
    ann = factories.user(session)
    id_ = made(session, ann, "0 0 1 1 *", missed_policy=Missed.SKIP)
    long_ago = f"{this_minute(session).year - 2}-01-01 00:00:00.000000"
    run(session, "UPDATE schedules SET next_at = :then, due_at = :then", then=long_ago)

    assert firing.fire(session) == 0

    assert jobs(session) == []
    schedule = read(session, id_)
    assert (schedule.fired, schedule.missed) == (0, 3)
    assert schedule.next_at > this_minute(session)


def test_without_room_a_moment_waits(session: Session) -> None:
    """A firing needs room like any submission: without it the schedule waits, and fires when there is some again."""
    ann = factories.user(session, tier=factories.tier(session, "one", max_active=1))
    worker = factories.worker(session)
    (job,) = factories.submit(session, ann)
    id_ = made(session, ann, missed_policy=Missed.ALL)
    moments = let_pass(session, id_, 1)
    assert firing.fire(session) == 0
    assert read(session, id_).next_at == moments[0]
    assert due.seconds_to_next(session) > 1.0
    (taken,) = factories.take(session, worker)
    factories.finish(session, worker, taken, Ending.COMPLETED, result="1")

    run(session, "UPDATE schedules SET due_at = next_at")
    assert firing.fire(session) == 1

    assert jobs(session) == [firing.job_id_of(id_, moments[0]), job]
    assert read(session, id_).next_at == moments[1]


def test_without_room_all_of_a_user_s_moments_wait(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many schedules a full user has, one look is enough to put them off; each fires once there is room."""
    ann, bob = factories.user(session, tier=factories.tier(session, "one", max_active=1)), factories.user(session, "bob")
    worker = factories.worker(session)
    factories.submit(session, ann)
    waiting = [made(session, ann) for _ in range(60)]
    other = made(session, bob)
    for id_ in (*waiting, other):
        let_pass(session, id_, 0)
    tried: list[str] = []
    submit = admission.submit

    def watched(session: Session, units: Sequence[admission.Unit], *, repeated: bool) -> Any:
        tried.extend(unit.user_id for unit in units)
        return submit(session, units, repeated=repeated)

    monkeypatch.setattr(admission, "submit", watched)
    fired = firing.fire(session) + firing.fire(session)
    assert (fired, len(tried)) == (1, 2), "one of each user"
    ready = "SELECT count(*) FROM schedules WHERE user_id = :ann AND due_at <= moment_after(:now, 1)"
    assert run(session, ready, ann=ann, now=database_now(session)).scalar_one() == 0
    (first, *_) = factories.take(session, worker)
    factories.finish(session, worker, first, Ending.COMPLETED)

    run(session, "UPDATE schedules SET due_at = next_at WHERE user_id = :ann", ann=ann)
    assert firing.fire(session) == 1
    assert sum(read(session, id_).fired for id_ in waiting) == 1


def test_a_paused_schedule_rests(session: Session) -> None:
    """While it is paused nothing fires, and what has passed meanwhile has not been missed."""
    ann = factories.user(session)
    id_ = made(session, ann, missed_policy=Missed.ALL)
    schedules.change(session, schedule_id=id_, user_id=ann, paused=True)
    let_pass(session, id_, 5)
    assert firing.fire(session) == 0
    assert due.seconds_to_next(session) == math.inf

    resumed = schedules.change(session, schedule_id=id_, user_id=ann, paused=False)

    assert firing.fire(session) == 0
    assert resumed.next_at > this_minute(session)
    assert read(session, id_).missed == 0


def test_a_disabled_user_s_schedules_rest(session: Session) -> None:
    """Who is kept out gets no jobs from schedules either."""
    ann = factories.user(session)
    let_pass(session, made(session, ann), 0)
    run(session, "UPDATE users SET disabled_at = created_at")
    assert firing.fire(session) == 0
    assert jobs(session) == []


def test_a_broken_schedule_stops_nobody_else(session: Session) -> None:
    """One whose time zone has gone is paused; the others fire."""
    ann = factories.user(session)
    broken, sound = made(session, ann), made(session, ann)
    for id_ in (broken, sound):
        let_pass(session, id_, 0)
    run(session, "UPDATE schedules SET timezone = 'Mars/Phobos' WHERE id = :id", id=broken)

    assert firing.fire(session) == 1

    assert read(session, broken).paused_at is not None
    assert read(session, sound).fired == 1


def test_a_change_counts_from_now(session: Session) -> None:
    """A new expression or zone has its next moment after now; one that never fires is refused."""
    ann = factories.user(session)
    id_ = made(session, ann)
    changed = schedules.change(session, schedule_id=id_, user_id=ann, paused=None, cron="30 2 * * *", timezone="Europe/Berlin")
    assert changed.next_at > this_minute(session)
    assert changed.next_at.minute == 30
    with pytest.raises(ValidationError):
        schedules.change(session, schedule_id=id_, user_id=ann, paused=None, cron="0 0 30 2 *")


def test_schedules_are_their_users_own(session: Session) -> None:
    """Somebody else's schedule is neither found nor changed nor deleted."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    id_ = made(session, ann)
    with pytest.raises(NotFoundError):
        schedules.get(session, schedule_id=id_, user_id=bob)
    with pytest.raises(NotFoundError):
        schedules.change(session, schedule_id=id_, user_id=bob, paused=True)
    with pytest.raises(NotFoundError):
        schedules.delete(session, schedule_id=id_, user_id=bob)
    assert schedules.listed(session, user_id=bob, before=None, limit=5) == []
    schedules.delete(session, schedule_id=id_, user_id=ann)
    with pytest.raises(NotFoundError):
        read(session, id_)


def test_many_at_once_fire_each_moment_once(database: Database) -> None:
    """However many look at the same moment, each schedule makes one job."""
    with database.write() as session:
        users = [factories.user(session, f"user-{number}") for number in range(3)]
        ids = [made(session, user) for user in users for _ in range(5)]
        for id_ in ids:
            let_pass(session, id_, 0)
    start = threading.Barrier(6)

    def look(_: int) -> int:
        start.wait()
        fired = 0
        for _ in range(5):
            with database.write() as session:
                fired += firing.fire(session)
        return fired

    with ThreadPoolExecutor(6) as pool:
        fired = sum(pool.map(look, range(6)))

    with database.read() as session:
        counts = [read(session, id_).fired for id_ in ids]
        # The clock may have passed a full minute meanwhile.
        assert all(count in {1, 2} for count in counts)
        assert (fired, len(jobs(session))) == (sum(counts), sum(counts))
    with database.read() as session:
        assert verify(session) == []
