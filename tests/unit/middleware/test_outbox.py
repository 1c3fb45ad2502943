"""The publisher's thread: patient while the broker is away, loud once, bounded, and never in anybody's way."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog

from middleware import outbox as module
from middleware.hand import Hand
from middleware.outbox import Outbox
from middleware.settings import WorkerSettings
from persistence.dispatch import Taken
from tests import factories, waiting


class Broker:
    """Takes messages, unless it is away."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.tries = 0
        self.error: BaseException | None = None
        self.holds = threading.Event()
        self.holds.set()

    @property
    def published(self) -> list[str]:
        """All that it has taken."""
        return [job for batch in self.batches for job in batch]

    def publish(self, jobs: Sequence[Taken]) -> None:
        """Take a batch."""
        self.tries += 1
        self.holds.wait(10)
        if self.error is not None:
            raise self.error
        self.batches.append([job.id for job in jobs])


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Give a broker; tries follow each other fast."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SECONDS", 0.01)
    return Broker()


@pytest.fixture
def make(broker: Broker) -> Iterator[Callable[..., Outbox]]:
    """Give a function that makes an outbox."""
    made: list[Outbox] = []

    def make_one(**words: Any) -> Outbox:
        hand = Hand(WorkerSettings(), worker_id="w", threads=2, types={factories.TYPE: factories.QUEUE})
        parts = {"types": {factories.TYPE: factories.QUEUE}, "publish": broker.publish, "on_fatal": lambda _: None} | words
        made.append(Outbox(WorkerSettings(), hand=hand, **parts))
        return made[-1]

    yield make_one
    broker.error = None
    broker.holds.set()
    for outbox in made:
        outbox.close()


def test_publishes_at_once_what_has_gathered(broker: Broker, make: Callable[..., Outbox]) -> None:
    """What was dispatched while a batch was on its way makes up the next one."""
    outbox = make()
    jobs = [factories.claim() for _ in range(20)]
    broker.holds.clear()
    outbox.deliver(jobs[:1])
    waiting.until(lambda: broker.tries == 1, "first batch")
    for job in jobs[1:]:
        outbox.deliver([job])
    broker.holds.set()
    waiting.until(lambda: len(broker.published) == 20, "messages")
    assert [len(batch) for batch in broker.batches if batch] == [1, 19]


def test_waits_out_an_outage(broker: Broker, make: Callable[..., Outbox]) -> None:
    """Away: said once, whatever the tries; back: all is published that was dispatched meanwhile, the newest dispatch of each."""
    outbox = make()
    with structlog.testing.capture_logs() as logs:
        broker.error = OSError("no route\nto it")
        first = factories.claim()
        newer = factories.claim(id=first.id, claim_no=2)
        outbox.deliver([first])
        waiting.until(lambda: broker.tries > 12, "tries")
        assert outbox.is_away
        outbox.deliver([newer, factories.claim()])
        broker.error = None
        waiting.until(lambda: len(broker.published) == 2, "messages")
        waiting.until(lambda: not outbox.is_away, "end of the outage")
    assert [line["event"] for line in logs] == ["broker.away", "broker.back"]
    assert broker.published.count(first.id) == 1


def test_memory_is_bounded(broker: Broker, make: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound messages are left to the re-send, and delivering never waits."""
    monkeypatch.setattr(module, "_MOST_PENDING", 10)
    outbox = make()
    broker.error = OSError("away")
    for _ in range(5):
        outbox.deliver([factories.claim() for _ in range(7)])
    assert len(outbox._pending) <= 10
    broker.error = None
    waiting.until(lambda: not outbox._pending and not outbox.is_away, "publishing")
    assert len(broker.published) <= 17


def test_a_batch_that_is_always_refused_holds_nobody_up(broker: Broker, make: Callable[..., Outbox]) -> None:
    """What the broker refuses again and again makes way for the others."""
    bad = factories.claim()

    def publish(jobs: Sequence[Taken]) -> None:
        if any(job.id == bad.id for job in jobs):
            broker.tries += 1
            raise ValueError("not this one")
        broker.publish(jobs)

    outbox = make(publish=publish)
    outbox.deliver([bad])
    waiting.until(lambda: broker.tries > 2, "refusals")
    good = factories.claim()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_AT_ONCE", 1)
        outbox.deliver([good])
        waiting.until(lambda: good.id in broker.published, "the other message")


def test_closing_does_not_wait_for_a_broker_that_is_away(broker: Broker, make: Callable[..., Outbox]) -> None:
    """At a shutdown what cannot be published is left to the re-send."""
    outbox = make()
    broker.error = OSError("away")
    outbox.deliver([factories.claim()])
    waiting.until(lambda: broker.tries > 0, "try")
    outbox.close()
    assert not outbox._thread.is_alive()


def test_closing_publishes_what_is_left(broker: Broker, make: Callable[..., Outbox]) -> None:
    """At a shutdown the last dispatches still go out."""
    outbox = make()
    jobs = [factories.claim() for _ in range(600)]
    outbox.deliver(jobs)
    outbox.close()
    assert broker.published == [job.id for job in jobs]


def test_what_ends_the_publisher_ends_the_process(broker: Broker, make: Callable[..., Outbox]) -> None:
    """Without its publisher a process must not go on."""
    fatal: list[BaseException] = []
    outbox = make(on_fatal=fatal.append)
    broker.error = SystemExit()
    outbox.deliver([factories.claim()])
    waiting.until(lambda: fatal, "end")
    assert fatal == [broker.error]


def test_tends_the_connection_when_there_is_nothing_to_say(
    broker: Broker, make: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle publisher looks after its connection, so that heartbeats are answered and a loss is noticed."""
    monkeypatch.setattr(module, "_TEND_SECONDS", 0.01)
    make()
    waiting.until(lambda: len(broker.batches) > 2, "looks")
    assert broker.published == []
