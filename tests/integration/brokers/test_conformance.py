"""What every broker has to do: carry jobs in their order, twice or never, past garbage, and to the end of a shutdown."""

import json
import pickle
import threading

import dramatiq
import pytest
from msgspec.structs import replace

from tests import factories, waiting
from tests.integration.brokers.conftest import EVERY, WITH_MESSAGES, Open
from tests.integration.brokers.theatre import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(180)


@EVERY
def test_every_job_is_carried(opened: Open) -> None:
    """Two hundred jobs are each played once, with one attempt and a whole trail."""
    theatre = opened()
    jobs = theatre.submit(*range(200))
    theatre.all_completed(jobs)
    assert sorted(theatre.played) == list(range(200))
    assert {row.attempt for row in map(theatre.house.row, jobs)} == {1}
    assert [status for status, _, _ in theatre.house.history(jobs[0])] == ["queued", "processing", "completed"]


@EVERY
def test_order_is_that_of_submission(opened: Open) -> None:
    """With one thread jobs of one priority are played in the order in which they were submitted."""
    theatre = opened(is_open=False)
    jobs = theatre.submit(*range(40))
    theatre.open(threads=1)
    theatre.all_completed(jobs)
    assert theatre.played == list(range(40))


@EVERY
def test_higher_priorities_come_first(opened: Open) -> None:
    """Whatever was submitted first, the higher priority is played first."""
    theatre = opened(is_open=False)
    jobs = [job for number in range(30) for job in theatre.submit(number, priority=number % 3)]
    theatre.open(threads=1)
    theatre.all_completed(jobs)
    assert [number % 3 for number in theatre.played] == [2] * 10 + [1] * 10 + [0] * 10


@pytest.mark.rabbitmq
@pytest.mark.parametrize("stage", [("sqlite", "rabbitmq")], indirect=True)
def test_rabbitmq_knows_priorities(opened: Open) -> None:
    """What was sent ahead does not stand in the way: the highest priority comes first, and of equals what was sent first."""
    theatre = opened(is_open=False)
    jobs = [
        replace(factories.claim(theatre.notes.actor_name), queue=theatre.queue, priority=number % 3 * 5) for number in range(9)
    ]
    for job in jobs:
        theatre.house.installation._publish([job])
    taken = [dramatiq.Message.decode(body).args[0] for body in theatre.wire.take(theatre.queue)]
    assert taken == [job.id for job in sorted(jobs, key=lambda job: -job.priority)]


@WITH_MESSAGES
def test_messages_that_were_taken_and_lost_are_delivered_again(opened: Open) -> None:
    """A consumer that dies with messages costs a little time: they come back by themselves or are sent again."""
    theatre = opened(is_open=False, resend_seconds=1.0)
    theatre.open(threads=2)
    theatre.broker.declare_queue(theatre.queue)
    gates = theatre.submit(1, 2, actor=theatre.waits)
    waiting.passed(theatre.gate.entered, "job at the gate", seconds=PATIENCE_SECONDS)
    # given: all threads are busy, so a thief gets what comes now
    thief = theatre.wire.thief(theatre.broker, theatre.queue)
    jobs = theatre.submit(*range(3, 9))
    stolen = [message for message in (next(thief) for _ in range(12)) if message is not None]
    # when
    thief.close()
    theatre.gate.opened.set()
    # then
    theatre.all_completed(gates + jobs)
    assert sorted(theatre.played) == list(range(1, 9))
    assert len(stolen) <= 12


@WITH_MESSAGES
def test_duplicates_and_reordered_messages_are_played_once(opened: Open) -> None:
    """Every message comes four times, the last ones first, and old ones come again when the job is done."""
    theatre = opened(is_open=False)
    jobs = theatre.submit(*range(20))
    theatre.open(threads=3)
    for job in reversed(jobs):
        message = theatre.hint(theatre.sent(job))
        for _ in range(3):
            theatre.broker.enqueue(message.copy())
    theatre.all_completed(jobs)
    for job in jobs:
        theatre.broker.enqueue(theatre.hint(theatre.house.row(job)))
    theatre.all_completed(theatre.submit(20))
    assert sorted(theatre.played) == list(range(21))


@WITH_MESSAGES
def test_garbage_ends_among_the_dead_letters(opened: Open) -> None:
    """Bytes of any kind, foreign actors and other queues' names cost neither consumer nor thread; all are dead letters."""
    # given
    theatre = opened(threads=2)
    broker, queue = theatre.broker, theatre.queue
    theatre.all_completed(theatre.submit(0))
    forged = theatre.hint(theatre.house.row(theatre.submit(1)[0])).asdict()
    garbage = [
        b"",
        b"\x00\xff\xfe",
        b"{}",
        b"null",
        b"[" * 5000,
        pickle.dumps({"queue_name": queue}),
        json.dumps(forged | {"queue_name": "elsewhere"}).encode(),
        json.dumps(forged | {"actor_name": "nobody"}).encode(),
        json.dumps(forged | {"args": ["no id", 1]}).encode(),
        json.dumps(forged | {"args": [forged["args"][0], -1]}).encode(),
    ]
    # when
    for body in garbage * 2:
        theatre.wire.put(broker, queue, body)
    # then
    theatre.all_completed(theatre.submit(*range(2, 20)))
    dead = 2 * len(garbage)
    waiting.until(lambda: theatre.wire.dead(broker, queue) == dead, f"{dead} dead letters", seconds=PATIENCE_SECONDS)
    assert all(thread.is_alive() for thread in [*theatre.house.worker.workers, *theatre.house.worker.consumers.values()])


@WITH_MESSAGES
def test_a_message_with_a_time_does_not_wait_in_memory(opened: Open) -> None:
    """Dramatiq would keep a message with an `eta` back until then; here no delay is the broker's."""
    theatre = opened(is_open=False)
    (job,) = theatre.submit(1)
    theatre.open()
    late = theatre.hint(theatre.sent(job)).copy(options={"eta": 4_000_000_000_000})
    theatre.wire.put(theatre.broker, theatre.queue, late.encode())
    theatre.all_completed([job, *theatre.submit(2)])
    assert all(not consumer.delay_queue.qsize() for consumer in theatre.house.worker.consumers.values())


@WITH_MESSAGES
def test_a_deleted_queue_comes_back_under_live_consumers(opened: Open) -> None:
    """Deleted with what was in it, the queue is there again by itself, and what was lost is sent again."""
    theatre = opened(resend_seconds=1.0)
    theatre.all_completed(theatre.submit(0))
    for round_ in range(2):
        theatre.wire.delete(theatre.broker, theatre.queue)
        jobs = theatre.submit(*range(10 * round_ + 1, 10 * round_ + 11))
        theatre.wire.delete(theatre.broker, theatre.queue)
        theatre.all_completed(jobs)
    assert sorted(theatre.played) == list(range(21))


@EVERY
def test_shutdown_finishes_what_runs_and_hands_back_the_rest(opened: Open) -> None:
    """What is at work is finished, what is not goes back without an attempt, and the next worker does it."""
    # given
    theatre = opened(threads=2)
    running = theatre.submit(1, 2, actor=theatre.waits)
    waiting.until(
        lambda: {theatre.house.status(job) for job in running} == {"processing"}, "jobs at the gate", seconds=PATIENCE_SECONDS
    )
    jobs = theatre.submit(*range(3, 30))
    # when
    stops = threading.Thread(target=theatre.house.shut)
    stops.start()
    waiting.until(lambda: theatre.house.process.hand.wanted() is None, "end of taking")
    theatre.gate.opened.set()
    stops.join()
    # then
    assert {theatre.house.status(job) for job in running} == {"completed"}
    theatre.open()
    theatre.all_completed(jobs)
    assert sorted(theatre.played) == list(range(1, 30))
    assert {row.attempt for row in map(theatre.house.row, running + jobs)} == {1}


def test_a_delay_is_never_the_brokers(opened: Open) -> None:
    """Delays are in the database: a broker of ours refuses to keep one."""
    theatre = opened(is_open=False)
    message = dramatiq.Message(queue_name=theatre.queue, actor_name="theatre.notes", args=(), kwargs={}, options={})
    with pytest.raises(ValueError, match="delays are kept in the database"):
        theatre.broker.enqueue(message, delay=1000)


test_a_delay_is_never_the_brokers = pytest.mark.parametrize(
    "stage",
    [
        pytest.param(("sqlite", "rabbitmq"), id="rabbitmq", marks=pytest.mark.rabbitmq),
        pytest.param(("sqlite", "redis"), id="redis", marks=pytest.mark.redis),
    ],
    indirect=True,
)(test_a_delay_is_never_the_brokers)
