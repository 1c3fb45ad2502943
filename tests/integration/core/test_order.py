"""Dispatch: whose turn it is, under every limit, and that nobody is overtaken."""

import dataclasses
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from persistence import dispatch, due, pauses, users, workers
from persistence.attempts import Ending
from persistence.database import Database
from persistence.ids import new_id
from persistence.statements import run
from tests import factories
from tests.integration.core.machine import clear, clears_itself

FAST, SLOW, LIMITED = "tests.fast", "tests.slow", "tests.limited"
TYPES = (FAST, SLOW, LIMITED)


class UndoneError(Exception):
    """Nothing of this transaction is to stay."""


def take(session: Session, worker: str, **words: Any) -> list[dispatch.Taken]:
    """Claim with known costs, so that clocks are exact."""
    wishes: dict[str, Any] = {"types": TYPES, "cost_seconds": dict.fromkeys(TYPES, 1.0)} | words
    room = wishes.pop("room", 1)
    idle = wishes.pop("idle", room)
    return dispatch.take(session, dispatch.Wanted(worker, [factories.QUEUE], room=room, idle=idle, **wishes))


def weighted(session: Session, **weights: int) -> dict[str, str]:
    """Make a user of each weight, and give the names by id."""
    return {
        factories.user(session, name, tier=factories.tier(session, f"tier-{name}", weight=weight)): name
        for name, weight in weights.items()
    }


def served(session: Session, worker: str, names: dict[str, str], turns: int, seconds: float = 1.0, **words: Any) -> list[str]:
    """Let jobs be taken and done, and name their users in order."""
    order = []
    for _ in range(turns):
        for job in take(session, worker, **words):
            order.append(names[job.user_id])
            factories.finish(session, worker, job, Ending.COMPLETED, result="1", seconds=seconds)
    return order


# Within one user.


@clears_itself
@given(priorities=st.lists(st.integers(0, 10), min_size=1, max_size=12), rooms=st.lists(st.integers(1, 5), min_size=12))
def test_priority_then_age(database: Database, priorities: list[int], rooms: list[int]) -> None:
    """One user's jobs are taken by priority and then by age, in whatever portions."""
    with database.write() as session:
        clear(session)
        worker = factories.worker(session, TYPES)
        asked = [factories.submission(FAST, priority=priority) for priority in priorities]
        ids = factories.submit(session, factories.user(session), *asked)
        order = [job.id for room in rooms for job in take(session, worker, room=room)]
    expected = sorted(zip(priorities, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
    assert order == [job for _, job in expected]


# Between users.


def test_shares_follow_weights(database: Database) -> None:
    """Users who always have work waiting are served in proportion to their tiers' weights, from the first jobs on."""
    with database.write() as session:
        names = weighted(session, light=1, middle=4, heavy=16)
        worker = factories.worker(session, TYPES)
        for user in names:
            factories.submit(session, user, *factories.submissions(90, FAST))
        order = served(session, worker, names, 84)
    shares = Counter(order)
    assert abs(shares["light"] - 4) <= 1
    assert abs(shares["middle"] - 16) <= 1
    assert abs(shares["heavy"] - 64) <= 2


@pytest.mark.parametrize("room", [3, 7])
def test_shares_follow_weights_in_portions(database: Database, room: int) -> None:
    """The same when several jobs are taken at once."""
    with database.write() as session:
        names = weighted(session, one=1, two=2)
        worker = factories.worker(session, TYPES)
        for user in names:
            factories.submit(session, user, *factories.submissions(60, FAST))
        order = served(session, worker, names, 63 // room, room=room)
    assert abs(Counter(order)["one"] - 21) <= 2


def test_long_jobs_do_not_take_the_pool(database: Database) -> None:
    """Equal weights are equal shares of time: whose jobs take ten times as long gets a tenth of the jobs."""
    with database.write() as session:
        names = weighted(session, long=1, short=1)
        (long,) = [user for user, name in names.items() if name == "long"]
        worker = factories.worker(session, TYPES)
        for user in names:
            factories.submit(session, user, *factories.submissions(120, FAST))
        order = []
        for _ in range(110):
            (job,) = take(session, worker, cost_seconds={})
            order.append(names[job.user_id])
            factories.finish(session, worker, job, Ending.COMPLETED, result="1", seconds=10 if job.user_id == long else 1)
    assert 9 <= Counter(order)["long"] <= 12


def test_cancelled_work_is_paid_for(database: Database) -> None:
    """A user who lets jobs run long and then cancels them has used the pool all the same."""
    from persistence import cancellation

    with database.write() as session:
        names = weighted(session, canceller=1, honest=1)
        (canceller,) = [user for user, name in names.items() if name == "canceller"]
        worker = factories.worker(session, TYPES)
        for user in names:
            factories.submit(session, user, *factories.submissions(40, FAST))
        order = []
        for _ in range(33):
            (job,) = take(session, worker, cost_seconds={})
            order.append(names[job.user_id])
            if job.user_id == canceller:
                cancellation.cancel(session, job_id=job.id, user_id=None)
            seconds = 10 if job.user_id == canceller else 1
            factories.finish(session, worker, job, Ending.COMPLETED, result="1", seconds=seconds)
    assert 3 <= Counter(order)["canceller"] <= 5


@pytest.mark.parametrize("waits", [True, False])
def test_idleness_is_no_credit(database: Database, waits: bool) -> None:
    """Who comes back after others have worked for long shares from then on, and has not saved anything up."""
    with database.write() as session:
        names = weighted(session, busy=1, idle=1)
        busy, idle = names
        worker = factories.worker(session, TYPES)
        factories.submit(session, idle, factories.submission(FAST))
        served(session, worker, names, 1)
        factories.submit(session, busy, *factories.submissions(80 if waits else 30, FAST))
        served(session, worker, names, 30)
        if not waits:
            factories.submit(session, busy, *factories.submissions(50, FAST))
        factories.submit(session, idle, *factories.submissions(30, FAST))
        order = served(session, worker, names, 20)
    assert abs(Counter(order)["idle"] - 10) <= 1
    assert order[:4].count("idle") <= 2


def test_a_new_user_starts_with_the_others(database: Database) -> None:
    """A user who has never had a job neither waits behind all that was done before nor goes before it."""
    with database.write() as session:
        names = weighted(session, old=1)
        worker = factories.worker(session, TYPES)
        factories.submit(session, next(iter(names)), *factories.submissions(60, FAST))
        served(session, worker, names, 30)
        names |= weighted(session, new=1)
        factories.submit(session, list(names)[-1], *factories.submissions(30, FAST))
        order = served(session, worker, names, 20)
    assert abs(Counter(order)["new"] - 10) <= 1


# Limits.


def test_a_full_user_lets_others_by(database: Database) -> None:
    """A user with all slots held is passed over, and goes on as soon as one is free."""
    with database.write() as session:
        tier = factories.tier(session, "two", max_running=2)
        ann, bob = factories.user(session, "ann", tier=tier), factories.user(session, "bob", tier=tier)
        for user in (ann, bob):
            factories.submit(session, user, *factories.submissions(4, FAST))
        worker = factories.worker(session, TYPES)
        first = take(session, worker, room=10)
        assert Counter(job.user_id for job in first) == {ann: 2, bob: 2}
        assert take(session, worker, room=10) == []
        ended = next(job for job in first if job.user_id == ann)
        factories.finish(session, worker, ended, Ending.COMPLETED, result="1")
        assert [job.user_id for job in take(session, worker, room=10)] == [ann]


def test_a_lowered_tier_revokes_nothing(database: Database) -> None:
    """What is held stays; nothing new is taken until there is room under the new limit."""
    with database.write() as session:
        tier = factories.tier(session, "three", max_running=3)
        user = factories.user(session, tier=tier)
        factories.submit(session, user, *factories.submissions(6, FAST))
        worker = factories.worker(session, TYPES)
        held = take(session, worker, room=9)
        factories.tier(session, tier, max_running=1)
        for job in held[:2]:
            factories.finish(session, worker, job, Ending.COMPLETED, result="1")
            assert take(session, worker, room=9) == []
        factories.finish(session, worker, held[2], Ending.COMPLETED, result="1")
        assert len(take(session, worker, room=9)) == 1
        users.put(session, name="ann", tenant="tenant-of-ann", tier="pro")
        assert len(take(session, worker, room=9)) == 2


def test_a_type_limit_lets_other_types_by(database: Database) -> None:
    """The limited type has as many slots as its limit; jobs of other types, of lower priority too, go on."""
    with database.write() as session:
        user = factories.user(session)
        workers.set_type_limits(session, {LIMITED: 2})
        limited = factories.submit(session, user, *factories.submissions(4, LIMITED, priority=9))
        factories.submit(session, user, *factories.submissions(3, FAST, priority=1))
        worker = factories.worker(session, TYPES)
        taken = []
        for _ in range(4):
            taken += take(session, worker, room=4, limits={LIMITED: LIMITED})
        assert Counter(job.type for job in taken) == {LIMITED: 2, FAST: 3}
        factories.finish(session, worker, taken[0], Ending.COMPLETED, result="1")
        assert [job.id for job in take(session, worker, limits={LIMITED: LIMITED})] == [limited[2]]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (pauses.Scope(), set()),
        (pauses.Scope(type=FAST), {("ann", SLOW), ("bob", SLOW)}),
        (pauses.Scope(queue=factories.QUEUE), set()),
        (pauses.Scope(queue="other"), {("ann", SLOW), ("bob", SLOW), ("ann", FAST), ("bob", FAST)}),
        (pauses.Scope(user_id="ann"), {("bob", SLOW), ("bob", FAST)}),
        (pauses.Scope(user_id="ann", type=FAST), {("ann", SLOW), ("bob", SLOW), ("bob", FAST)}),
        (pauses.Scope(type=SLOW, queue="other"), {("ann", SLOW), ("bob", SLOW), ("ann", FAST), ("bob", FAST)}),
    ],
)
def test_a_pause_holds_what_it_covers(database: Database, scope: pauses.Scope, left: set[tuple[str, str]]) -> None:
    """A pause by type, user, queue or several of them keeps exactly the covered jobs back, until it is ended."""
    with database.write() as session:
        ids = {name: factories.user(session, name) for name in ("ann", "bob")}
        for user in ids.values():
            factories.submit(session, user, factories.submission(FAST), factories.submission(SLOW))
        worker = factories.worker(session, TYPES)
        exact = pauses.Scope(scope.type, ids.get(scope.user_id, ""), scope.queue)
        pauses.pause(session, exact)
        pauses.pause(session, exact)
        names = {user: name for name, user in ids.items()}
        assert {(names[job.user_id], job.type) for job in take(session, worker, room=9)} == left
        pauses.resume(session, exact)
        assert len(take(session, worker, room=9)) == 4 - len(left)


def test_resuming_everything_ends_every_pause(database: Database) -> None:
    """Without any word all pauses are over."""
    with database.write() as session:
        for scope in (pauses.Scope(), pauses.Scope(type=FAST), pauses.Scope(queue="q")):
            pauses.pause(session, scope)
        pauses.resume(session, pauses.Scope())
        assert pauses.active(session) == []


def test_what_is_not_due_waits(database: Database) -> None:
    """A job of the future stands in nobody's way, and enters its lane when its moment has come."""
    with database.write() as session:
        user = factories.user(session)
        worker = factories.worker(session, TYPES)
        later = factories.submission(FAST, priority=10, run_after=factories.moment("2100-01-01T00:00:00+00:00"))
        factories.submit(session, user, later, factories.submission(FAST))
        assert [job.id for job in take(session, worker, room=5)] != [later.id]
        assert due.promote(session) == 0
        wait = due.seconds_to_next(session)
        assert wait is not None
        assert wait > 1e9
        run(session, "UPDATE jobs SET run_after = clock_timestamp() WHERE id = :id", id=later.id)
        assert due.seconds_to_next(session) == 0
        assert due.promote(session) == 1
        assert due.seconds_to_next(session) == math.inf
        assert [job.id for job in take(session, worker, room=5)] == [later.id]


@pytest.mark.parametrize(
    "words", [{"types": ()}, {"room": 0}, {"types": ("tests.unknown",)}], ids=["no types", "no room", "other types"]
)
def test_nothing_is_taken_that_was_not_wanted(database: Database, words: dict[str, Any]) -> None:
    """A worker takes no more than it has room for, and no types that it does not know."""
    with database.write() as session:
        factories.submit(session, factories.user(session), factories.submission(FAST))
        assert take(session, factories.worker(session, TYPES), **words) == []


def test_a_dead_worker_takes_nothing(database: Database) -> None:
    """A claim requires that the worker was not declared dead."""
    with database.write() as session:
        factories.submit(session, factories.user(session), factories.submission(FAST))
        worker = factories.worker(session, TYPES)
        workers.leave(session, worker_id=worker)
        assert take(session, worker) == []


def test_messages_go_out_for_twice_the_threads(database: Database) -> None:
    """A broker's queue is kept short, so that order is decided late; more goes out as messages are claimed."""
    from persistence import attempts

    with database.write() as session:
        factories.submit(session, factories.user(session), *factories.submissions(40))
        worker = factories.worker(session, threads=3)
        sent = factories.take(session, None, mode=dispatch.Mode.SEND)
        assert len(sent) == 6
        assert factories.take(session, None, mode=dispatch.Mode.SEND) == []
        attempts.claim(session, worker, [(job.id, job.dispatch_no) for job in sent[:2]])
        assert len(factories.take(session, None, mode=dispatch.Mode.SEND)) == 2


def test_messages_of_short_jobs_go_out_beyond_the_window(database: Database) -> None:
    """As many more as may be claimed ahead, of fast types only: with the first other job the window is what counts."""
    with database.write() as session:
        ann = factories.user(session)
        factories.submit(session, ann, *factories.submissions(8, FAST), factories.submission(SLOW), factories.submission(FAST))
        factories.worker(session, TYPES, threads=2)
        words: dict[str, Any] = {"types": TYPES, "mode": dispatch.Mode.SEND, "fast": (FAST,), "beyond": 3}
        assert len(factories.take(session, None, **words)) == 4 + 3
        assert factories.take(session, None, **words) == []
        assert len(factories.take(session, None, **words | {"beyond": 9})) == 1


def test_each_queue_has_a_window_of_its_own(database: Database) -> None:
    """Messages that nobody takes fill the window of their queue alone; and its size comes from those who consume it."""
    other = "other"
    with database.write() as session:
        ann = factories.user(session)
        factories.submit(session, ann, *factories.submissions(9), *factories.submissions(9, queue=other))
        for queues, threads in (([factories.QUEUE], 1), ([factories.QUEUE, other], 2)):
            types, name = [factories.TYPE], "worker"
            workers.register(session, worker_id=new_id(), name=name, queues=queues, types=types, threads=threads)
        wanted = dispatch.Wanted(None, [factories.QUEUE], [factories.TYPE], room=100, idle=100)
        assert len(dispatch.take(session, wanted, dispatch.Mode.SEND)) == 2 * 3
        both = dataclasses.replace(wanted, queues=[factories.QUEUE, other])
        assert [job.queue for job in dispatch.take(session, both, dispatch.Mode.SEND)] == [other] * 2 * 2
        assert dispatch.take(session, both, dispatch.Mode.SEND) == []


# Claiming ahead.


@clears_itself
@given(
    jobs=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(TYPES), st.integers(0, 10)), min_size=1, max_size=14),
    room=st.integers(1, 10),
    idle=st.integers(0, 10),
    most=st.integers(1, 3),
)
def test_nobody_is_overtaken(database: Database, jobs: list[tuple[int, str, int]], room: int, idle: int, most: int) -> None:
    """With fewer threads idle, what is taken is a beginning of what would be taken otherwise; slow types stay behind."""
    with database.write() as session:
        clear(session)
        people = list(weighted(session, one=1, two=2, four=4))
        workers.set_type_limits(session, {LIMITED: most})
        worker = factories.worker(session, TYPES)
        for who, kind, priority in jobs:
            factories.submit(session, people[who], factories.submission(kind, priority=priority))
    words: dict[str, Any] = {"room": room, "fast": (FAST,), "limits": {LIMITED: LIMITED}}
    with pytest.raises(UndoneError), database.write() as session:
        everything = take(session, worker, **words)
        raise UndoneError
    with database.write() as session:
        taken = take(session, worker, idle=min(idle, room), **words)
    assert [job.id for job in taken] == [job.id for job in everything][: len(taken)]
    assert {job.type for job in taken[idle:]} <= {FAST}
    assert [job.ahead for job in taken] == [place >= idle for place in range(len(taken))]
    if len(taken) < len(everything):
        assert everything[len(taken)].type != FAST
        assert len(taken) >= idle


def test_only_calm_jobs_are_claimed_ahead(database: Database) -> None:
    """A job on its last attempt, or one that was rescued, waits for a thread: a lost process would cost it too much."""
    from persistence import rescue

    with database.write() as session:
        user = factories.user(session)
        worker, lost = factories.worker(session, TYPES), factories.worker(session, TYPES)
        (last,) = factories.submit(session, user, factories.submission(FAST, max_attempts=1))
        assert take(session, worker, room=1, idle=0, fast=(FAST,)) == []
        assert [job.id for job in take(session, worker, fast=(FAST,))] == [last]
        (rescued,) = factories.submit(session, user, factories.submission(FAST))
        take(session, lost)
        workers.leave(session, worker_id=lost)
        rescue.rescue(session)
        assert take(session, worker, room=1, idle=0, fast=(FAST,)) == []
        assert [job.id for job in take(session, worker, fast=(FAST,))] == [rescued]
