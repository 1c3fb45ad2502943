"""Webhooks in the database: which events become deliveries, and who may send which one when."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import Session

from persistence import dead_letters, prune, replays, webhook_deliveries, webhook_endpoints, webhook_events, webhook_sending
from persistence.database import Database
from persistence.event_feed import START
from persistence.statements import run
from persistence.webhook_sending import Answer, Sending
from tests import factories
from tests.integration.persistence.run_steps import ends, start

LEASE = 30.0
ALL = {"room": 64, "room_failing": 32, "lease_seconds": LEASE}


def endpoint(database: Database, user: str, *events: str) -> str:
    """Register an endpoint."""
    with database.write() as session:
        wanted = events or ("job.enqueued",)
        return webhook_endpoints.create(session, user_id=user, url="https://hooks.example/", events=wanted).id


def user(database: Database, name: str = "ann") -> str:
    """Make a user."""
    with database.write() as session:
        return factories.user(session, name)


def submit(database: Database, owner: str, count: int = 1) -> list[str]:
    """Submit jobs."""
    with database.write() as session:
        return factories.submit(session, owner, *factories.submissions(count))


def gather(database: Database) -> bool:
    """Turn what has happened into deliveries, as one courier does; tells whether there was anything to be read."""
    with database.read() as session:
        news = webhook_events.read(session, seen=START)
    if news is None:
        return False
    with database.write() as session:
        assert webhook_events.write(session, news)
    return True


def told(database: Database) -> list[str]:
    """List the jobs that there are deliveries of."""
    with database.read() as session:
        return [str(row.job_id) for row in run(session, "SELECT job_id FROM webhook_deliveries ORDER BY id")]


def choose(database: Database, **words: float) -> list[str]:
    """Choose what is due."""
    with database.read() as session:
        return webhook_sending.choose(session, **ALL | words)  # type: ignore[arg-type]


def claim(database: Database, ids: Sequence[str]) -> list[Sending]:
    """Take deliveries in hand."""
    with database.write() as session:
        return webhook_sending.claim(session, ids=ids, lease_seconds=LEASE)


def answer(database: Database, *answers: Answer) -> None:
    """Write answers down."""
    with database.write() as session:
        webhook_sending.record(session, answers)


def row(session: Session, id: str) -> tuple[str, int, int]:
    """Read a delivery's status, attempts and tries."""
    found = factories.fetch(session, "webhook_deliveries", id)
    return found.status, found.attempts, found.tries


def lapse(database: Database) -> None:
    """Let the time go by after which everything is due."""
    with database.write() as session:
        run(session, "UPDATE webhook_deliveries SET next_at = moment_after(created_at, -1) WHERE next_at IS NOT NULL")
        run(session, "UPDATE webhook_deliveries SET sending_until = next_at WHERE sending_until IS NOT NULL")


def test_only_what_comes_after_is_told(database: Database) -> None:
    """The first endpoint lets the cursor jump ahead; a later one is told nothing that came before it, nor of other users."""
    ann, bob = user(database), user(database, "bob")
    submit(database, ann)
    assert not gather(database)
    endpoint(database, ann)
    (second,) = submit(database, ann)
    submit(database, bob)
    assert gather(database)
    late = endpoint(database, ann)
    (third,) = submit(database, ann)
    assert gather(database)
    assert sorted(told(database)) == sorted([second, third, third])
    with database.read() as session:
        rows = run(session, "SELECT job_id FROM webhook_deliveries WHERE endpoint_id = :id", id=late)
        assert [str(one.job_id) for one in rows] == [third]


def test_a_late_commit_is_not_missed(database: Database) -> None:
    """What was written first and is committed last becomes a delivery, though the cursor has been moved in between."""
    if database.is_sqlite:  # one transaction writes at a time: nothing can be late
        return
    ann, bob = user(database), user(database, "bob")
    endpoint(database, ann)
    endpoint(database, bob)
    with database.write() as session:
        (slow,) = factories.submit(session, ann)
        (fast,) = submit(database, bob)
        assert gather(database)
    while gather(database) and len(told(database)) < 2:
        pass
    assert sorted(told(database)) == sorted([slow, fast])


def test_an_endpoint_between_reading_and_writing_misses_nothing(database: Database) -> None:
    """Who registers while a courier has read and not yet written is told all that comes after."""
    ann, bob = user(database), user(database, "bob")
    endpoint(database, ann)
    with database.read() as session:
        news = webhook_events.read(session, seen=START)
    assert news is not None
    endpoint(database, bob)
    (job,) = submit(database, bob)
    with database.write() as session:
        webhook_events.write(session, news)
    with database.read() as session:
        again = webhook_events.read(session, seen=news.end)
    assert again is not None
    with database.write() as session:
        webhook_events.write(session, again)
    assert told(database) == [job]


def test_of_two_readers_one_writes(database: Database) -> None:
    """Two couriers that have read the same news make one delivery of it."""
    ann = user(database)
    endpoint(database, ann)
    (job,) = submit(database, ann)
    with database.read() as session:
        first, second = (webhook_events.read(session, seen=START) for _ in range(2))
    assert first is not None
    assert second is not None
    with database.write() as session:
        assert webhook_events.write(session, first)
    with database.write() as session:
        assert not webhook_events.write(session, second)
    assert told(database) == [job]


def test_a_page_at_a_time(database: Database) -> None:
    """More news than a page holds are written page by page, each once."""
    ann = user(database)
    endpoint(database, ann)
    jobs = submit(database, ann, 1201)
    pages = 0
    with database.read() as session:
        more = webhook_events.read(session, seen=START)
    while more is not None and more.told:
        pages += 1
        with database.write() as session:
            assert webhook_events.write(session, more)
        with database.read() as session:
            more = webhook_events.read(session, seen=START)
    assert pages == 3
    assert sorted(told(database)) == sorted(jobs)


def test_one_of_two_claims_it(database: Database) -> None:
    """A delivery that two couriers have chosen is claimed by one of them, and is due again when its lease is over."""
    ann = user(database)
    endpoint(database, ann)
    submit(database, ann)
    gather(database)
    chosen = choose(database)
    (first,) = claim(database, chosen)
    assert claim(database, chosen) == []
    assert choose(database) == []
    # when its sender has died
    lapse(database)
    (second,) = claim(database, choose(database))
    assert (second.id, second.body, second.claim_no) == (first.id, first.body, first.claim_no + 1)
    # then what the first one says late does not count
    answer(database, Answer(first, None, "no answer"))
    with database.read() as session:
        assert row(session, first.id) == ("pending", 2, 2)
    answer(database, Answer(second, 200, None))
    with database.read() as session:
        assert row(session, first.id) == ("delivered", 2, 2)


def test_a_late_or_repeated_answer_says_nothing_of_its_endpoint(database: Database) -> None:
    """An endpoint's failures count answers that count: one each, and none of somebody who has lost the delivery."""
    ann = user(database)
    asked = endpoint(database, ann)
    submit(database, ann)
    gather(database)
    (first,) = claim(database, choose(database))
    lapse(database)
    (second,) = claim(database, choose(database))
    failures = []
    for said in (
        Answer(first, 410, "answered 410", gone="answered 410 Gone"),
        *[Answer(second, 500, "answered 500", wait_seconds=9.0)] * 2,
    ):
        answer(database, said)
        with database.read() as session:
            found = factories.fetch(session, "webhook_endpoints", asked)
            failures.append((found.failures, found.disabled_at))
    assert failures == [(0, None), (1, None), (1, None)]


def test_a_failing_endpoint_is_asked_one_thing_at_a_time(database: Database) -> None:
    """Of a good endpoint a few are sent at once, of a failing one a single one, and the good ones come first."""
    ann, bob = user(database), user(database, "bob")
    bad = endpoint(database, ann)
    submit(database, ann, 10)
    gather(database)
    first = claim(database, choose(database))
    assert len(first) == webhook_sending.MOST_AT_ONCE
    answer(database, *(Answer(one, 500, "answered 500", wait_seconds=0.0) for one in first))
    good = endpoint(database, bob)
    submit(database, bob, 10)
    gather(database)
    # when
    second = claim(database, choose(database))
    # then
    assert sorted(one.endpoint_id for one in second) == sorted([bad] + [good] * webhook_sending.MOST_AT_ONCE)
    assert claim(database, choose(database)) == []
    with database.read() as session:
        ids = webhook_sending.choose(session, room=1, room_failing=1, lease_seconds=LEASE)
    assert ids == []


def test_room_is_kept_for_those_that_answer(database: Database) -> None:
    """With little room the failing ones get what is kept for them at most, and the good ones the rest."""
    owners = [user(database, name) for name in ("ann", "bob", "cid", "dan")]
    for owner in owners:
        endpoint(database, owner)
        submit(database, owner, 3)
    gather(database)
    with database.write() as session:
        run(session, "UPDATE webhook_endpoints SET failures = 3 WHERE user_id <> :id", id=owners[3])
    assert len(choose(database)) == 3 + 3
    assert len(choose(database, room_failing=1)) == 3 + 1
    assert len(choose(database, room=2)) == 2
    assert len(choose(database, room_failing=0)) == 3


def test_a_disabled_user_is_sent_nothing(database: Database) -> None:
    """What is due for a user who is kept out waits."""
    ann = user(database)
    endpoint(database, ann)
    submit(database, ann)
    gather(database)
    with database.write() as session:
        run(session, "UPDATE users SET disabled_at = created_at")
    assert choose(database) == []


def test_what_is_released_does_not_count(database: Database) -> None:
    """A try that was broken off by a shutdown is given back and due at once."""
    ann = user(database)
    endpoint(database, ann)
    submit(database, ann)
    gather(database)
    claimed = claim(database, choose(database))
    with database.write() as session:
        webhook_sending.release(session, claimed)
    with database.read() as session:
        assert row(session, claimed[0].id) == ("pending", 0, 0)
    assert choose(database) == [claimed[0].id]


def test_a_replay_is_told_again(database: Database) -> None:
    """Each step of the trail is a delivery of its own, also when a job comes to the same status a second time."""
    ann = user(database)
    endpoint(database, ann, "job.failed")
    (job,) = submit(database, ann)
    for _ in range(2):
        with database.write() as session:
            worker = factories.worker(session)
            (taken,) = factories.take(session, worker)
            factories.fail(session, worker, taken)
        with database.write() as session:
            (letter,) = dead_letters.listed(session, user_id=ann, limit=1)
            replays.replay(session, letter_id=letter.id, user_id=ann)
    gather(database)
    assert told(database) == [job, job]


def test_nothing_is_pruned_that_is_not_told(database: Database) -> None:
    """The jobs of a deleted run, which no retention keeps, stay until the user's webhooks have been told of them."""
    ann = user(database)
    with database.write() as session:
        worker = factories.worker(session)
    endpoint(database, ann, "job.completed")
    with database.write() as session:
        start(session, ann, factories.submission())
        (taken,) = factories.take(session, worker)
        ends(session, worker, taken)
    submit(database, ann)
    pruned = []
    for _ in range(2):
        with database.write() as session:
            pruned.append(prune.prune(session, older_than_seconds=-1.0))  # the first finds the run, the next ones its jobs
    gather(database)
    with database.write() as session:
        pruned.append(prune.prune(session, older_than_seconds=-1.0))
    assert pruned == [0, 0, 1]
    assert told(database) == [taken.id]


def test_old_deliveries_are_pruned(database: Database) -> None:
    """Old deliveries go, then those of deleted endpoints, and in the end the endpoints; what is young stays."""
    ann = user(database)
    kept, deleted = endpoint(database, ann), endpoint(database, ann)
    submit(database, ann)
    gather(database)
    with database.write() as session:
        assert webhook_deliveries.prune(session, older_than_seconds=60.0) == 0
    with database.write() as session:
        webhook_endpoints.delete(session, endpoint_id=deleted, user_id=ann)
        assert webhook_deliveries.prune(session, older_than_seconds=60.0) == 1
    with database.write() as session:
        gone = factories.fetch(session, "webhook_endpoints", deleted)
        assert (gone.url, gone.secret, gone.old_secret) == ("", "", None)
        run(session, "UPDATE webhook_endpoints SET deleted_at = moment_after(deleted_at, -7200) WHERE id = :id", id=deleted)
        run(session, "UPDATE webhook_deliveries SET created_at = moment_after(created_at, -7200)")
        assert webhook_deliveries.prune(session, older_than_seconds=timedelta(hours=1).total_seconds()) == 1
    with database.read() as session:
        assert [str(one.id) for one in run(session, "SELECT id FROM webhook_endpoints")] == [kept]
        assert told(database) == []
