"""The hand: how much work a process asks for, and that it knows what it holds."""

import threading

import pytest

from middleware.hand import Hand, limits_of
from middleware.settings import WorkerSettings
from persistence.attempts import Ending
from persistence.ids import new_id
from tests import factories, waiting

TYPES = {"tests.fast": "default", "tests.slow": "default"}


def hand(threads: int = 4, **settings: float) -> Hand:
    """Make a hand whose consumer listens."""
    made = Hand(WorkerSettings(**settings), worker_id=new_id(), threads=threads, types=TYPES)  # type: ignore[arg-type]
    made.next("default", 0)
    return made


def learned(hand: Hand, kind: str, seconds: float) -> None:
    """Let the hand know how long a type takes."""
    hand._cost[kind] = seconds


def test_it_asks_for_as_many_as_threads_are_idle() -> None:
    """Of types that it knows nothing of, or only slow ones, it takes no more than it can begin."""
    made = hand(4)
    learned(made, "tests.slow", 3.0)
    wanted = made.wanted()
    assert wanted is not None
    assert (wanted.room, wanted.idle, list(wanted.fast)) == (4, 4, [])
    made.deliver([factories.claim("tests.slow") for _ in range(4)])
    assert made.wanted() is None


def test_it_claims_short_jobs_ahead() -> None:
    """Types of short attempts are claimed ahead, as many as make up the set time of work, and asked for in good time."""
    made = hand(4, claim_ahead=1000, claim_ahead_seconds=0.1)
    learned(made, "tests.fast", 0.01)
    wanted = made.wanted()
    assert wanted is not None
    assert (wanted.room, wanted.idle, list(wanted.fast)) == (4 + 40, 4, ["tests.fast"])
    made.deliver([factories.claim("tests.fast") for _ in range(4 + 30)])
    assert made.wanted() is None
    for attempt in made.attempts()[:20]:
        made.start(attempt)
        made.stop(attempt)
    assert made.wanted() is not None


def test_it_never_claims_more_ahead_than_it_may() -> None:
    """The setting bounds it, however short the attempts are; with 0 nothing is claimed ahead."""
    for most in (0, 7):
        made = hand(2, claim_ahead=most)
        learned(made, "tests.fast", 0.00001)
        wanted = made.wanted()
        assert wanted is not None
        assert wanted.room == 2 + most


def test_without_a_consumer_it_asks_for_nothing() -> None:
    """Before the first consumer listens, and after the close, there is nobody to give work to."""
    made = Hand(WorkerSettings(), worker_id=new_id(), threads=4, types=TYPES)
    assert made.wanted() is None
    made.next("default", 0)
    assert made.wanted() is not None
    made.close()
    assert made.wanted() is None


def test_a_claim_stays_until_its_outcome_is_committed() -> None:
    """From the delivery to the commit, and for its own claim number only."""
    made = hand()
    made.deliver([factories.claim()])
    attempt = made.next("default", 1)
    assert attempt is not None
    assert made.start(attempt)
    made.stop(attempt)
    assert made.attempts() == [attempt]
    other = factories.claim(id=attempt.claim.id, claim_no=9)
    made.settle([factories.outcome(other, Ending.COMPLETED)])
    assert made.attempts() == [attempt]
    made.settle([factories.outcome(attempt.claim, Ending.COMPLETED)])
    assert (made.attempts(), made.is_full) == ([], False)


def test_what_was_dropped_does_not_begin() -> None:
    """A claim that was given up is not worked on, wherever it waited; one that has begun is not given up with them."""
    made = hand()
    made.deliver([factories.claim() for _ in range(3)])
    begun, popped = made.next("default", 1), made.next("default", 1)
    assert begun is not None
    assert popped is not None
    made.start(begun)
    dropped = made.drop_waiting()
    assert len(dropped) == 2
    assert made.drop_waiting() == []
    assert not made.start(popped)
    assert not made.drop(begun)
    assert made.next("default", 0) is None
    wanted = made.wanted()
    assert wanted is not None
    assert wanted.idle == 3


def test_a_lost_lease_empties_the_hand() -> None:
    """Everything is given up, what has begun too, and the threads that are still busy are not asked for twice."""
    made = hand(2)
    made.deliver([factories.claim() for _ in range(2)])
    begun = made.next("default", 1)
    assert begun is not None
    made.start(begun)
    assert len(made.drop_all()) == 2
    assert (made.attempts(), begun.dropped) == ([], True)
    wanted = made.wanted()
    assert wanted is not None
    assert wanted.idle == 1
    made.stop(begun)
    wanted = made.wanted()
    assert wanted is not None
    assert wanted.idle == 2


def test_a_consumer_is_woken_by_a_delivery() -> None:
    """Waiting for the next claim ends with it, and with the close."""
    made = hand()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend([made.next("default", 30), made.next("default", 30)]))
    thread.start()
    made.deliver([factories.claim()])
    waiting.until(lambda: not made._delivered["default"], "delivery")
    made.close()
    thread.join(10)
    assert [entry is None for entry in got] == [False, True]


def test_the_average_follows_what_attempts_take() -> None:
    """The first attempt sets it, later ones move it."""
    made = hand()
    made.deliver([factories.claim("tests.fast")])
    (attempt,) = made.attempts()
    made.start(attempt)
    made.stop(attempt)
    assert made._cost["tests.fast"] < 1


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ({"documents.*": 3}, "documents.*"),
        ({"documents.*": 3, "documents.extract": 1, "*": 9}, "documents.extract"),
        ({"*": 9, "doc*": 2}, "doc*"),
        ({"stories.*": 3}, None),
        ({}, None),
    ],
)
def test_the_longest_pattern_limits(patterns: dict[str, int], found: str | None) -> None:
    """Of several patterns that match a type the longest is its limit."""
    assert limits_of(["documents.extract"], patterns).get("documents.extract") == found


# Messages of other brokers.


def test_messages_are_claimed_for_free_threads_first() -> None:
    """As many as there are threads; a further one only if its type is short, and otherwise by the thread that gets to it."""
    made = hand(2)
    learned(made, "tests.fast", 0.001)
    assert [made.arrive("tests.slow") for _ in range(2)] == [False, False]
    assert made.arrive("tests.fast") is True
    assert made.arrive("tests.slow") is None
    made.leave(was_parked=False)
    assert made.arrive("tests.slow") is None, "two are here before it"


def test_messages_ahead_are_bounded() -> None:
    """No more are claimed ahead than the setting allows."""
    made = hand(2, claim_ahead=3)
    learned(made, "tests.fast", 0.000001)
    assert [made.arrive("tests.fast") for _ in range(7)] == [False] * 2 + [True] * 3 + [None] * 2


def test_nothing_that_arrives_is_claimed_after_the_end_of_taking() -> None:
    """Closed, the hand takes no claims for messages, and says that there is no room."""
    made = hand(2)
    assert made.room(0) == 2
    made.close()
    assert made.arrive("tests.fast") is None
    assert made.room(10) == 0


def test_room_is_for_what_can_be_worked_on() -> None:
    """Room is idle threads and what may be claimed ahead, but never for more than a message a thread that has to wait."""
    made = hand(4)
    assert made.room(0) == 4
    learned(made, "tests.fast", 0.001)
    assert made.room(0) == 4
    for _ in range(4):
        made.arrive("tests.slow")
    assert made.room(0) == 4, "short ones may come"
    for _ in range(3):
        made.arrive("tests.slow")
    assert made.room(0) == 1, "three wait for a thread already"


def test_room_is_waited_for() -> None:
    """Who waits for room is told when a thread has begun with a message."""
    made = hand(1)
    made.arrive("tests.slow")
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(made.room(10)))
    thread.start()
    waiting.until(lambda: made._room_is_wanted, "wait")
    made.leave(was_parked=False)
    thread.join()
    assert found == [1]
