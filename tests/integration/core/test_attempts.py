"""Attempts as a worker makes them, on both databases, with the SQL broker and with one that carries messages."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dramatiq
import msgspec
import pytest
import structlog

from middleware import pulse
from persistence import dispatch, pauses
from persistence.database import as_instant
from persistence.ids import new_id
from persistence.verify import verify
from tests import factories, waiting
from tests.integration.core.house import House, new_database
from tests.integration.core.repertoire import UNTIL, Repertoire

STAGES = [
    pytest.param(("sqlite", "sql"), id="sqlite-sql"),
    pytest.param(("sqlite", "stub"), id="sqlite-messages"),
    pytest.param(("postgres", "sql"), id="postgres-sql", marks=pytest.mark.postgresql),
    pytest.param(("postgres", "stub"), id="postgres-messages", marks=pytest.mark.postgresql),
]


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Repertoire]]:
    """Run one worker for all tests of a stage; in the end every invariant must hold."""
    kind, broker = request.param
    with new_database(kind, request, tmp_path_factory) as url:
        house = House(url, broker=broker)
        with house.declaring():
            plays = Repertoire()
        house.open(threads=3)
        yield house, plays
        house.shut()
        with house.database.read() as session:
            violations = verify(session)
        house.close()
    assert violations == []
    assert house.fatal == []


@pytest.fixture
def house(stage: tuple[House, Repertoire]) -> House:
    """Give the stage's house."""
    return stage[0]


@pytest.fixture
def plays(stage: tuple[House, Repertoire]) -> Repertoire:
    """Give the stage's job types."""
    return stage[1]


WITH_MESSAGES = pytest.mark.parametrize("stage", [STAGES[1], STAGES[3]], indirect=True)


def error_of(row: Any) -> dict[str, Any]:
    """Decode a job's error."""
    return msgspec.json.decode(row.error)  # type: ignore[no-any-return]


# How an attempt can end.


def test_completes(house: House, plays: Repertoire) -> None:
    """The result is stored, the trail is whole, and the slot is back."""
    row = house.until(house.submit(plays.square, {"number": 7}), "completed")
    assert (row.result, row.attempt, row.progress_percent) == ('{"square":49}', 1, 100)
    assert [status for status, _, _ in house.history(row.id)] == ["queued", "processing", "completed"]


def test_retries_after_1_5_and_30_seconds_and_then_is_a_dead_letter(house: House, plays: Repertoire) -> None:
    """Four attempts, the waits of the policy between them, and a dead letter with error and traceback in the end."""
    # given
    job = house.submit(plays.fails, {"number": 3})
    scope = pauses.Scope(type=plays.fails.job_type.name)
    waits = []
    for attempt in (1, 2, 3):
        waiting.until(lambda attempt=attempt: plays.calls.get(job) == list(range(1, attempt + 1)), f"attempt {attempt}")
        with house.database.write() as session:
            pauses.pause(session, scope)
        gate = plays.gate(job)
        plays.gates.pop(job)
        # when
        gate.opened.set()
        row = house.until(job, "queued")
        # then
        (ended,) = house.select("SELECT at FROM transitions WHERE job_id = :id ORDER BY seq DESC LIMIT 1", id=job)
        waits.append((instant(row.run_after) - instant(ended.at)).total_seconds())
        assert (error_of(row)["type"], error_of(row)["attempt"], error_of(row)["retryable"]) == ("Retryable", attempt, True)
        house.execute("UPDATE jobs SET run_after = clock_timestamp() WHERE id = :id", id=job)
        with house.database.write() as session:
            pauses.resume(session, scope)
    plays.gate(job).opened.set()
    row = house.until(job, "failed")
    assert waits == [1, 5, 30]
    (letter,) = house.select("SELECT * FROM dead_letters WHERE job_id = :id", id=job)
    assert (letter.attempts, error_of(letter)["message"], "raise Retryable" in letter.traceback) == (4, "number 3", True)
    assert [reason for _, _, reason in house.history(job)][2::2] == ["retry", "retry", "retry", None]


def test_gives_up_at_once(house: House, plays: Repertoire) -> None:
    """Permanent: one attempt, a dead letter with text that can be stored, and nothing of what the attempt had prepared."""
    row = house.until(house.submit(plays.gives_up), "failed")
    assert (row.attempt, error_of(row)) == (
        1,
        {"type": "Permanent", "message": "never\N{REPLACEMENT CHARACTER} ?", "retryable": False, "attempt": 1},
    )
    assert house.select("SELECT 1 FROM job_files WHERE job_id = :id", id=row.id) == []
    assert len(house.select("SELECT 1 FROM dead_letters WHERE job_id = :id", id=row.id)) == 1


@pytest.mark.parametrize("until_a_moment", [False, True])
def test_snoozes(house: House, plays: Repertoire, until_a_moment: bool) -> None:
    """A snooze waits as long as it says, by the database's clock, and gives the attempt back, be it the last."""
    job = house.submit(plays.snoozes, {"number": int(until_a_moment)})
    row = house.until(job, "queued", blocked_by="schedule", attempt=0)
    (ended,) = house.select("SELECT at FROM transitions WHERE job_id = :id ORDER BY seq DESC LIMIT 1", id=job)
    if until_a_moment:
        assert instant(row.run_after) == UNTIL
    else:
        assert (instant(row.run_after) - instant(ended.at)).total_seconds() == 3600
    house.execute("UPDATE jobs SET run_after = clock_timestamp() WHERE id = :id", id=job)
    row = house.until(job, "completed")
    assert (row.attempt, row.claim_no, plays.calls[job]) == (1, 2, [1, 1])


def test_cancels_itself(house: House, plays: Repertoire) -> None:
    """An attempt that raises Cancelled cancels its job."""
    row = house.until(house.submit(plays.cancels), "cancelled")
    assert house.history(row.id)[-1] == ("cancelled", 1, "cancelled by its attempt")


def test_a_classifier_decides(house: House, plays: Repertoire) -> None:
    """What it makes permanent fails at once; what it does not know is tried again."""
    assert error_of(house.until(house.submit(plays.classifies, {"number": 1}), "failed"))["type"] == "PermissionError"
    assert house.until(house.submit(plays.classifies), "queued", blocked_by="retry").attempt == 1


def test_a_broken_classifier_holds_nothing_up(house: House, plays: Repertoire) -> None:
    """An error in the author's classifier is not the end of the attempt's outcome."""
    assert error_of(house.until(house.submit(plays.doubts), "failed"))["type"] == "ValueError"


def test_an_error_without_words(house: House, plays: Repertoire) -> None:
    """An exception whose text cannot be had still fails its job."""
    assert error_of(house.until(house.submit(plays.breaks), "failed"))["type"] == "Unspeakable"


def test_async_functions(house: House, plays: Repertoire) -> None:
    """An async function is a job type like any other."""
    assert house.until(house.submit(plays.sleeps), "completed").result == "0"


# Cancelling and time limits.


def test_a_running_attempt_is_interrupted_when_its_job_is_cancelled(house: House, plays: Repertoire) -> None:
    """Cancelled at once for the caller; the attempt ends soon after and gives the slot back."""
    job = house.submit(plays.waits)
    waiting.passed(plays.gate(job).entered, "attempt")
    house.cancel(job)
    assert house.status(job) == "cancelled"
    row = house.until(job, "cancelled")
    assert (row.result, plays.calls[job]) == (None, [1])


def test_a_running_attempt_may_look_for_itself(house: House, plays: Repertoire) -> None:
    """`check` raises where the author wants it."""
    job = house.submit(plays.checks)
    waiting.passed(plays.gate(job).entered, "attempt")
    house.cancel(job)
    house.until(job, "cancelled")


def test_a_queued_job_that_is_cancelled_never_runs(house: House, plays: Repertoire) -> None:
    """No attempt is made of a job that was cancelled before."""
    jobs = [house.submit(plays.alone) for _ in range(3)]
    waiting.until(lambda: any(plays.gate(job).entered.is_set() for job in jobs), "attempt")
    running = next(job for job in jobs if plays.gate(job).entered.is_set())
    for job in jobs:
        if job != running:
            house.cancel(job)
    plays.gate(running).opened.set()
    house.until(running, "completed")
    assert [job for job in jobs if job in plays.calls] == [running]


@pytest.mark.parametrize("name", ["spins", "oversleeps"])
def test_the_time_limit_ends_an_attempt(house: House, plays: Repertoire, name: str) -> None:
    """Sync or async, an attempt that takes too long is interrupted, and its thread does the next jobs."""
    jobs = [house.submit(getattr(plays, name), {"number": 20}) for _ in range(4)]
    for job in jobs:
        row = house.until(job, "failed")
        assert error_of(row)["type"] == "TimeLimitExceeded"
    afterwards = [house.submit(plays.square, {"number": 2}) for _ in range(6)]
    for job in afterwards:
        house.until(job, "completed")


def test_a_declared_concurrency_holds(house: House, plays: Repertoire) -> None:
    """Of a type with concurrency 1 one attempt runs at a time."""
    jobs = {house.submit(plays.alone) for _ in range(3)}
    while jobs:
        running = waiting.until(lambda: [job for job in jobs if house.status(job) == "processing"], "attempt")
        assert len(running) == 1
        plays.gate(running[0]).opened.set()
        house.until(running[0], "completed")
        jobs.discard(running[0])


# Payloads and results that are not what they should be.


def test_a_payload_that_no_longer_decodes_fails_at_once(house: House, plays: Repertoire) -> None:
    """A type whose payload has changed since fails its old jobs with a message, without trying again."""
    row = house.until(house.submit_text("plays.square", '{"letter": "a"}'), "failed")
    assert row.attempt == 1
    assert "no longer one of plays.square" in error_of(row)["message"]


@pytest.mark.parametrize(("number", "words"), [(0, "bytes"), (1, "not one of"), (3, "not one of")])
def test_a_result_that_cannot_be_stored(house: House, plays: Repertoire, number: int, words: str) -> None:
    """Too large, of no JSON type or no text at all: the job fails at once and says why."""
    row = house.until(house.submit(plays.returns, {"number": number}), "failed")
    assert row.attempt == 1
    assert words in error_of(row)["message"]


@pytest.mark.parametrize(
    ("number", "stored"), [(2, '"nul \\u0000"'), (4, "null"), (5, '{"a":[1,2]}'), (6, str(2**70)), (7, None)]
)
def test_an_unusual_result(house: House, plays: Repertoire, number: int, stored: str | None) -> None:
    """What JSON can say is stored, on both databases alike."""
    assert house.until(house.submit(plays.returns, {"number": number}), "completed").result == stored


def test_a_result_is_held_to_its_type(house: House, plays: Repertoire) -> None:
    """A function that returns something else than it promised fails."""
    row = house.until(house.submit(plays.promises, {"number": 2}), "failed")
    assert "not one of plays.promises" in error_of(row)["message"]


# What an attempt does besides.


def test_follow_ups_begin_with_the_completion(house: House, plays: Repertoire) -> None:
    """They are there once the attempt has committed, exactly once, and not before."""
    job = house.submit(plays.follows)
    waiting.passed(plays.gate(job).entered, "attempt")
    before = len(house.select("SELECT 1 FROM tags WHERE tag = 'follow-up'"))
    plays.gate(job).opened.set()
    house.until(job, "completed")
    rows = house.select("SELECT j.* FROM jobs j JOIN tags t ON t.job_id = j.id WHERE t.tag = 'follow-up' ORDER BY j.id")
    assert [(row.type, row.payload, row.priority) for row in rows[before:]] == [
        ("plays.square", f'{{"number":{number}}}', 9) for number in range(3)
    ]


def test_a_failed_attempt_has_no_follow_ups(house: House, plays: Repertoire) -> None:
    """What a failed attempt wanted to submit never was."""
    before = len(house.select("SELECT 1 FROM tags WHERE tag = 'follow-up'"))
    job = house.submit(plays.follows, {"number": 1})
    plays.gate(job).opened.set()
    house.until(job, "failed")
    assert (len(plays.calls[job]), len(house.select("SELECT 1 FROM tags WHERE tag = 'follow-up'"))) == (2, before)


def test_sending_from_an_attempt(house: House, plays: Repertoire) -> None:
    """`send` within an attempt submits at once, for the attempt's user."""
    row = house.until(house.submit(plays.sends), "completed")
    sent = house.until(msgspec.json.decode(row.result), "completed")
    assert (str(sent.user_id), sent.result) == (house.user, '{"square":49}')


def test_files_are_visible_when_the_attempt_commits(house: House, plays: Repertoire) -> None:
    """A file is not there while the attempt runs, and whole and once afterwards; other jobs of the user can read it."""
    job = house.submit(plays.saves)
    waiting.passed(plays.gate(job).entered, "attempt")
    assert house.select("SELECT 1 FROM job_files WHERE job_id = :id", id=job) == []
    plays.gate(job).opened.set()
    house.until(job, "completed")
    (file,) = house.select("SELECT * FROM job_files WHERE job_id = :id", id=job)
    assert (file.name, file.media_type, file.bytes) == ("a.txt", "text/plain", 3 * 1024 * 1024 // 2)
    assert house.until(house.submit(plays.reads, {"of": job}), "completed").result == '"xxxxx"'


def test_progress_is_throttled(house: House, plays: Repertoire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand words a second are a few writes, of which the last one stands; no text in them ends the worker."""
    writes: list[Any] = []
    write = pulse.progress.write
    monkeypatch.setattr(pulse.progress, "write", lambda session, **words: (writes.append(words), write(session, **words)))
    job = house.submit(plays.progresses, {"number": 60})
    waiting.passed(plays.gate(job).entered, "attempt")
    house.until(job, "processing", progress_percent=60, progress_note=None)
    assert len(writes) < 10
    context = plays.contexts[job]
    context.progress(61, "a\x00b\ud800")
    row = house.until(job, "processing", progress_percent=61)
    assert row.progress_note == "a\N{REPLACEMENT CHARACTER}b?"
    plays.gate(job).opened.set()
    house.until(job, "completed", progress_percent=100)
    assert house.fatal == []


# The fence, the lease and the messages.


def test_a_lost_lease_is_the_end_of_its_claims(house: House, plays: Repertoire) -> None:
    """Declared dead, the worker stops what it does, writes nothing more with its claims, and goes on as a new worker."""
    # given
    job = house.submit(plays.follows)
    waiting.passed(plays.gate(job).entered, "attempt")
    old = house.process.ledger.worker_id
    assert old is not None
    # when
    with house.database.write() as session:
        beat_no = factories.fetch(session, "workers", old).beat_no
        session.connection().exec_driver_sql(f"UPDATE workers SET dead_at = beat_at WHERE id = '{old}'")
        assert beat_no >= 0
    waiting.until(lambda: house.process.ledger.worker_id != old, "new worker")
    gate = plays.gate(job)
    gate.opened.set()
    # then
    row = house.until(job, "completed")
    assert (row.rescues, row.attempt, row.claim_no) == (1, 2, 2)
    assert str(row.worker_id) == house.process.ledger.worker_id
    assert ("queued", 1, "worker lost") in house.history(job)
    assert house.fatal == []


def test_a_claim_that_nobody_knows_of_is_handed_back(house: House, plays: Repertoire) -> None:
    """A claim in the worker's name that the worker has never heard of goes back within two beats, with its attempt."""
    # given
    scope = pauses.Scope(type="plays.square")
    with house.database.write() as session:
        pauses.pause(session, scope)
    job = house.submit(plays.square, {"number": 5})
    worker_id = house.process.ledger.worker_id
    # when
    (taken,) = taken_meanwhile(house, scope, worker_id, dispatch.Mode.CLAIM)
    assert taken.id == job
    # then
    row = house.until(job, "queued", attempt=0)
    assert (row.claim_no, house.history(job)[-1][2]) == (1, "claim unknown to its worker")
    with house.database.write() as session:
        pauses.resume(session, scope)
    assert house.until(job, "completed").attempt == 1


@WITH_MESSAGES
def test_forged_messages_are_skipped(house: House, plays: Repertoire) -> None:
    """Whatever a message says, without a claim nothing runs, and the consumer goes on."""
    forged: list[tuple[Any, ...]] = [
        *((), ("nonsense", 1), (7, 7), (None, None), ({"a": 1}, [2])),
        *((new_id(), number) for number in (1, -1, 2**40, "1", True, None)),
        (new_id(), 1, 1),
    ]
    for args in forged:
        message = dramatiq.Message(queue_name="default", actor_name="plays.square", args=args, kwargs={}, options={})
        house.installation.broker.enqueue(message)
    house.until(house.submit(plays.square, {"number": 4}), "completed")


@WITH_MESSAGES
def test_a_message_for_another_actor_is_not_performed_by_it(house: House, plays: Repertoire) -> None:
    """A job is performed by the actor of its type only, whatever name its message bears."""
    scope = pauses.Scope(type="plays.waits")
    with house.database.write() as session:
        pauses.pause(session, scope)
    job = house.submit(plays.waits)
    (sent,) = taken_meanwhile(house, scope, None, dispatch.Mode.SEND)
    assert sent.id == job
    forged = dramatiq.Message(
        queue_name="default", actor_name="plays.gives_up", args=(job, sent.dispatch_no), kwargs={}, options={}
    )
    house.installation.broker.enqueue(forged)
    row = house.until(job, "queued", claim_no=1)
    assert (row.attempt, row.error) == (0, None)
    with house.database.write() as session:
        pauses.resume(session, scope)
    plays.gate(job).opened.set()
    house.until(job, "completed")


@WITH_MESSAGES
def test_a_message_that_comes_three_times_runs_once(house: House, plays: Repertoire) -> None:
    """Copies of a message, also those that come when the job has long ended, change nothing."""
    job = house.submit(plays.waits)
    waiting.passed(plays.gate(job).entered, "attempt")
    copy = dramatiq.Message(
        queue_name="default", actor_name="plays.waits", args=(job, house.row(job).dispatch_no), kwargs={}, options={}
    )
    for _ in range(3):
        house.installation.broker.enqueue(copy.copy())
    plays.gate(job).opened.set()
    house.until(job, "completed")
    house.installation.broker.enqueue(copy.copy())
    house.until(house.submit(plays.square, {"number": 4}), "completed")
    assert plays.calls[job] == [1]


def test_log_lines_say_which_job(house: House, plays: Repertoire) -> None:
    """What is logged during an attempt carries the job's id, and nothing ever the payload."""
    seen: list[dict[str, Any]] = []

    def keep(logger: Any, method: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        job = house.submit(plays.square, {"number": 123456789})
        house.until(job, "completed")
    finally:
        structlog.configure(processors=before)
    line = next(line for line in seen if line["event"] == "squaring")
    assert (line["job"], line["type"], line["attempt"], line["user"]) == (job, "plays.square", 1, house.user)
    assert "123456789" not in str(seen)
    assert structlog.contextvars.get_contextvars() == {}


def taken_meanwhile(house: House, scope: pauses.Scope, worker_id: str | None, mode: dispatch.Mode) -> list[dispatch.Taken]:
    """Give slots to the jobs of a paused type, behind the worker's back; it may take tries, for a locked user is left out."""

    def take() -> list[dispatch.Taken]:
        with house.database.write() as session:
            pauses.resume(session, scope)
            taken = factories.take(session, worker_id, types=[scope.type], mode=mode)
            pauses.pause(session, scope)
        return taken

    return waiting.until(take, "job to be taken")


def instant(value: Any) -> datetime:
    """Read a moment as a driver returns it."""
    moment = as_instant(value)
    assert moment is not None
    return moment.astimezone(UTC)
