"""A broker that is cut off, killed, wiped or replaced costs time and never a job, and nobody has to help."""

import threading

import pytest
import structlog

from tests import waiting
from tests.integration.brokers.conftest import WITH_SERVERS, Open, wire_of
from tests.integration.brokers.theatre import PATIENCE_SECONDS
from tests.integration.brokers.wires import meanwhile

pytestmark = pytest.mark.timeout(240)


@WITH_SERVERS
def test_cut_connections_come_back(opened: Open) -> None:
    """The server closes every connection, again and again under load: publisher and consumers make new ones by themselves."""
    theatre = opened(resend_seconds=1.0)
    theatre.all_completed(theatre.submit(0))
    jobs = []
    for round_ in range(3):
        theatre.wire.cut(theatre.broker)
        jobs += theatre.submit(*range(20 * round_ + 1, 20 * round_ + 21))
    theatre.all_completed(jobs)
    assert sorted(theatre.played) == list(range(61))


@WITH_SERVERS
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_was_away_comes_back(opened: Open, end: str) -> None:
    """Jobs are admitted while it is away, the log says so once, and all are done when it is back, without a re-send."""
    # given
    theatre = opened(resend_seconds=600.0)
    theatre.all_completed(theatre.submit(0))
    with structlog.testing.capture_logs() as logs:
        # when
        getattr(theatre.wire.server, end)()
        jobs = theatre.submit(*range(1, 30))
        waiting.until(lambda: any(line["event"] == "broker.away" for line in logs), "word of it", seconds=PATIENCE_SECONDS)
        theatre.wire.server.start()
        # then
        theatre.all_completed(jobs)
        waiting.until(lambda: any(line["event"] == "broker.back" for line in logs), "word of it", seconds=PATIENCE_SECONDS)
    assert [line["event"] for line in logs if line["event"].startswith("broker.")] == ["broker.away", "broker.back"]
    assert sorted(theatre.played) == list(range(30))


@WITH_SERVERS
def test_a_wiped_broker_loses_no_job(opened: Open) -> None:
    """Queues, messages and users gone: all that was on its way is sent again within the re-send time, by itself."""
    theatre = opened(threads=1, resend_seconds=1.0)
    held = theatre.submit(0, actor=theatre.waits)
    waiting.passed(theatre.gate.entered, "job at the gate", seconds=PATIENCE_SECONDS)
    jobs = theatre.submit(*range(1, 20))
    theatre.sent(jobs[0])
    theatre.wire.wipe()
    theatre.gate.opened.set()
    theatre.all_completed(held + jobs)
    assert sorted(theatre.played) == list(range(20))


@WITH_SERVERS
def test_old_messages_of_a_restored_broker_are_refused(opened: Open) -> None:
    """A snapshot brings back the messages of jobs that are long done: none is played again."""
    theatre = opened()
    jobs = theatre.submit(*range(20))
    theatre.all_completed(jobs)
    for job in jobs:
        row = theatre.house.row(job)
        theatre.wire.put(theatre.broker, theatre.queue, theatre.hint(row).encode())
    theatre.all_completed(theatre.submit(20))
    assert sorted(theatre.played) == list(range(21))


@pytest.mark.postgresql
@pytest.mark.rabbitmq
@pytest.mark.redis
@pytest.mark.parametrize("stage", [("postgres", "sql")], indirect=True)
def test_the_broker_changes_with_jobs_in_flight(opened: Open, request: pytest.FixtureRequest) -> None:
    """Stop, change the URL, start: from each broker to the next every job completes, those on their way included."""
    jobs: list[str] = []
    kinds = ["sql", "rabbitmq", "redis", "rabbitmq", "sql", "redis", "sql"]
    theatres = []
    for number, kind in enumerate(kinds):
        theatre = opened(
            wire=wire_of(kind, request), threads=2, queue=f"changes-{id(jobs)}", resend_seconds=2.0, shutdown_seconds=5.0
        )
        theatres.append(theatre)
        held = theatre.submit(1000 + number, 2000 + number, actor=theatre.waits)
        waiting.passed(theatre.gate.entered, "job at the gate", seconds=PATIENCE_SECONDS)
        new = theatre.submit(*range(100 * number, 100 * number + 15))
        if kind != "sql":
            theatre.sent(new[0])
        jobs += held + new
        if number < len(kinds) - 1:
            stops = threading.Thread(target=theatre.house.shut)
            stops.start()
            waiting.until(lambda theatre=theatre: theatre.house.process.hand.wanted() is None, "end of taking")
            theatre.gate.opened.set()
            stops.join()
    theatres[-1].gate.opened.set()
    theatres[-1].all_completed(jobs)
    assert len({number for theatre in theatres for number in theatre.played}) == len(jobs)
    assert sum(len(theatre.played) for theatre in theatres) == len(jobs)


@WITH_SERVERS
def test_submissions_go_on_while_connections_are_cut(opened: Open) -> None:
    """Under a storm of cuts nothing is lost and nothing is played twice."""
    theatre = opened(resend_seconds=1.0)
    theatre.all_completed(theatre.submit(0))
    with meanwhile(lambda: theatre.wire.cut(theatre.broker)):
        jobs = theatre.submit(*range(1, 60))
    theatre.all_completed(jobs)
    assert sorted(theatre.played) == list(range(60))
