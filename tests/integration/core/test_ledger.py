"""The ledger: one writer a process, that loses nothing and does nothing twice, whatever happens to the database."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from persistence import admission, attempts, cancellation, dispatch, due
from persistence.attempts import RESULT_REFUSED, Ending
from persistence.database import Database
from persistence.errors import ConcurrentJobLimitError, DatabaseUnavailableError
from persistence.ids import new_id
from persistence.ledger import Ledger
from persistence.statements import run
from persistence.turn import Call, Turn, wait_for
from tests import factories, waiting

_ERROR = '{"type":"ValueError","message":"no","retryable":true,"attempt":1}'


class Bench:
    """A ledger on a database, and what it said and delivered."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.fatal: list[BaseException] = []
        self.settled: list[attempts.Outcome] = []
        self.made: list[Ledger] = []

    def ledger(self, worker_id: str | None = None, **words: Any) -> Ledger:
        """Make a ledger that is not started yet, so that what is asked of it makes up one turn."""
        ledger = Ledger(self.database, worker_id=worker_id, on_fatal=self.fatal.append, **words)
        self.made.append(ledger)
        return ledger

    def user(self, name: str = "ann", tier: str = "enterprise") -> str:
        """Make a user."""
        with self.database.write() as session:
            return factories.user(session, name, tier=tier)

    def claims(self, user_id: str, count: int = 1) -> tuple[str, list[dispatch.Taken]]:
        """Let a new worker claim jobs of a user."""
        with self.database.write() as session:
            factories.submit(session, user_id, *factories.submissions(count))
            worker_id = factories.worker(session)
            return worker_id, factories.take(session, worker_id, room=count)

    def statuses(self, *ids: str) -> list[str]:
        """Read how jobs stand."""
        with self.database.read() as session:
            return [factories.fetch(session, "jobs", id).status for id in ids]

    def count(self, what: str = "jobs") -> int:
        """Count rows."""
        with self.database.read() as session:
            return int(run(session, f"SELECT count(*) FROM {what}").scalar_one())


@pytest.fixture
def bench(database: Database) -> Iterator[Bench]:
    """Give a bench, whose ledgers are closed in the end."""
    bench = Bench(database)
    yield bench
    for ledger in bench.made:
        ledger.close()


def unit(user_id: str, count: int = 1, **words: Any) -> admission.Unit:
    """Ask for some jobs."""
    return admission.Unit(user_id, factories.submissions(count), **words)


def in_threads(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same time and give what they returned or raised."""

    def made(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(made, calls))


def asked(ledger: Ledger, call: Callable[[], Any], pending: int) -> "threading.Thread":
    """Ask something in a thread, and wait until it waits in the ledger."""
    thread = threading.Thread(target=call)
    thread.start()
    waiting.until(lambda: pending_of(ledger) >= pending, "pending entry")
    return thread


def claimed(ledger: Ledger, sent: dispatch.Taken, timeout_seconds: float = 30) -> dispatch.Taken | None:
    """Claim by a message, and wait for the commit."""
    return wait_for(ledger.ask(sent.id, sent.dispatch_no, hold=lambda claim: claim), timeout_seconds)


def pending_of(ledger: Ledger) -> int:
    """Count what waits for the next turn."""
    inbox = ledger._inbox
    return len(inbox._requests) + len(inbox._calls) + len(inbox._messages) + len(inbox._outcomes)


def counted(ledger: Ledger) -> list[Turn]:
    """Note the turns that a ledger writes from now on."""
    turns: list[Turn] = []
    write = ledger._write

    def noted(turn: Turn, *, looks: bool) -> None:
        turns.append(turn)
        write(turn, looks=looks)

    ledger._write = noted  # type: ignore[method-assign]
    return turns


# What it is there for.


def test_a_submission_is_committed_when_it_is_answered(bench: Bench) -> None:
    """Whoever has an answer finds the job in the database."""
    ann, ledger = bench.user(), bench.ledger()
    ledger.start()

    admitted = ledger.submit(unit(ann, 2))

    assert bench.statuses(*admitted.ids) == ["queued", "queued"]


def test_a_full_user_is_told_so_and_others_are_not(bench: Bench) -> None:
    """In one turn one user's refusal leaves the other user's jobs alone."""
    ann, bob, ledger = bench.user("ann", "free"), bench.user("bob"), bench.ledger()
    calls = [lambda: ledger.submit(unit(ann)), lambda: ledger.submit(unit(ann)), lambda: ledger.submit(unit(bob))]
    threads = ThreadPoolExecutor(3)
    futures = [threads.submit(call) for call in calls]
    waiting.until(lambda: pending_of(ledger) == 3, "full turn")
    turns = counted(ledger)

    ledger.start()

    errors = [future.exception() for future in futures]
    threads.shutdown()
    assert sorted(type(error).__name__ for error in errors[:2]) == ["ConcurrentJobLimitError", "NoneType"]
    assert (errors[2], [len(turn.submissions) for turn in turns if turn]) == (None, [3])


def test_what_arrives_meanwhile_is_one_turn(bench: Bench) -> None:
    """Many writes at a time need few commits."""
    ann = bench.user()
    worker_id, claims = bench.claims(ann, 50)
    ledger = bench.ledger(worker_id)
    for taken in claims:
        ledger.finish(factories.outcome(taken, Ending.COMPLETED, result="1"))
    turns = counted(ledger)

    ledger.start()

    assert ledger.flush(30)
    assert [len(turn.outcomes) for turn in turns if turn] == [50]
    assert set(bench.statuses(*(taken.id for taken in claims))) == {"completed"}


def test_an_idle_ledger_sleeps(bench: Bench) -> None:
    """A ledger with nothing to do, as the API's most of the time, looks around a few times a second and no more."""
    ledger = bench.ledger()
    looks: list[float] = []
    ledger.start()
    ledger.flush(5)
    original = ledger._inbox.next

    def looked(idle_seconds: float) -> Turn | None:
        looks.append(idle_seconds)
        return original(idle_seconds)

    ledger._inbox.next = looked  # type: ignore[method-assign]
    ledger.wake()

    threading.Event().wait(0.5)  # not a signal but the very time in which nothing may happen

    assert len(looks) < 10


def test_closing_writes_what_is_pending(bench: Bench) -> None:
    """What was handed over before the close is committed, and nothing is taken after it."""
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    ledger.finish(factories.outcome(taken, Ending.COMPLETED, result="1"))
    ledger.start()

    ledger.close()

    assert bench.statuses(taken.id) == ["completed"]
    with pytest.raises(DatabaseUnavailableError):
        ledger.submit(unit(ann))


def test_a_call_gives_its_value_or_its_error(bench: Bench) -> None:
    """A write that somebody waits for answers with what it returned or raised, and harms nobody else."""
    ledger = bench.ledger()
    ledger.start()

    def fails(session: Session) -> None:
        run(session, "INSERT INTO type_limits (name, max_held, held) VALUES ('half', 1, 0)")
        raise KeyError("mine")

    assert ledger.write(lambda session: run(session, "SELECT 7").scalar_one()) == 7
    with pytest.raises(KeyError, match="mine"):
        ledger.write(fails)
    assert bench.count("type_limits") == 0
    assert ledger.write(lambda _: 8) == 8


# Poison: one bad part does not take the others with it.


def poisons(taken: dispatch.Taken) -> dict[str, attempts.Outcome]:
    """Describe outcomes that no database can take."""

    def raises(session: Session) -> None:
        raise RuntimeError("an effect of the author's")

    def breaks(session: Session) -> None:
        run(session, "UPDATE jobs SET priority = 99 WHERE id = :id", id=taken.id)

    words: dict[str, dict[str, Any]] = {
        "an effect that raises": {"effects": [raises]},
        "an effect that breaks a rule of the database": {"effects": [breaks]},
        "a follow-up that breaks a rule": {"follow_ups": [factories.submission(priority=11)]},
        "a follow-up of a job that is not there": {"follow_ups": [factories.submission(depends_on=(new_id(),))]},
    }
    return {name: factories.outcome(taken, Ending.COMPLETED, result="1", **word) for name, word in words.items()} | {
        "a wait without end": factories.outcome(taken, Ending.SNOOZED, delay_seconds=float("inf")),
        "a wait beyond the calendar": factories.outcome(taken, Ending.SNOOZED, delay_seconds=1e15),
    }


POISONS = (
    "an effect that raises",
    "an effect that breaks a rule of the database",
    "a follow-up that breaks a rule",
    "a follow-up of a job that is not there",
    "a wait without end",
    "a wait beyond the calendar",
)


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_outcome_fails_alone(bench: Bench, name: str) -> None:
    """One outcome that cannot be stored fails its own job with RESULT_REFUSED; the rest of its turn is written."""
    # given
    ann = bench.user()
    worker_id, claims = bench.claims(ann, 5)
    ledger = bench.ledger(worker_id)
    poisoned = claims[2]
    for taken in claims:
        good = factories.outcome(taken, Ending.COMPLETED, result="1")
        ledger.finish(poisons(taken)[name] if taken is poisoned else good)
    thread = asked(ledger, lambda: ledger.submit(unit(ann)), 6)
    # when
    ledger.start()
    assert ledger.flush(20)
    thread.join()
    # then
    statuses = dict(zip([taken.id for taken in claims], bench.statuses(*(taken.id for taken in claims)), strict=True))
    assert statuses.pop(poisoned.id) == "failed"
    assert set(statuses.values()) == {"completed"}
    assert bench.count("jobs") == 6
    with bench.database.read() as session:
        letter = run(session, "SELECT job_id, error FROM dead_letters").one()
    assert (str(letter.job_id), RESULT_REFUSED in letter.error) == (poisoned.id, True)
    assert bench.fatal == []


def test_what_cannot_even_fail_ends_the_process(bench: Bench) -> None:
    """An outcome that can be written in no form at all is not dropped: the ledger gives up, and with it the process."""
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    stranger = attempts.Outcome(taken.id, new_id(), taken.claim_no, taken.attempt, Ending.COMPLETED)
    ledger.finish(stranger)

    ledger.start()

    waiting.until(lambda: bench.fatal, "fatal error")
    with pytest.raises(DatabaseUnavailableError):
        ledger.submit(unit(ann))
    assert bench.statuses(taken.id) == ["processing"]


def test_a_submission_for_nobody_is_refused(bench: Bench) -> None:
    """A user who does not exist is no reason to wait, nor to end."""
    ann, ledger = bench.user(), bench.ledger()
    ledger.start()
    answers = in_threads([lambda: ledger.submit(unit(new_id())), lambda: ledger.submit(unit(ann))])
    assert [type(answer).__name__ for answer in answers] == ["NotFoundError", "Admitted"]
    assert bench.fatal == []


# The fence within one turn.


def test_a_message_that_came_twice_is_claimed_once(bench: Bench) -> None:
    """Two copies of a message in one turn give one claim: nobody works on a job twice at the same time."""
    # given
    ann = bench.user()
    with bench.database.write() as session:
        factories.submit(session, ann)
        worker_id = factories.worker(session)
        (sent,) = factories.take(session, None, mode=dispatch.Mode.SEND)
    ledger = bench.ledger(worker_id)
    answers: list[dispatch.Taken | None] = []
    threads = [asked(ledger, lambda: answers.append(claimed(ledger, sent)), copies) for copies in (1, 2, 3)]
    # when
    ledger.start()
    for thread in threads:
        thread.join()
    # then
    assert sorted(answer is None for answer in answers) == [False, True, True]


def test_the_first_outcome_of_a_claim_counts(bench: Bench) -> None:
    """Two outcomes of one claim in one turn: the first is written, whole, and the second nowhere."""
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    ledger.finish(factories.outcome(taken, Ending.COMPLETED, result="1"))
    ledger.finish(factories.outcome(taken, Ending.FAILED, error=_ERROR, fingerprint="f"))

    ledger.start()
    assert ledger.flush(20)

    assert (bench.statuses(taken.id), bench.count("dead_letters")) == (["completed"], 0)


@pytest.mark.parametrize("late_first", [True, False])
def test_a_late_outcome_does_not_stand_for_a_later_claim(bench: Bench, late_first: bool) -> None:
    """An old claim's outcome in the same turn as the new one's changes neither it nor what is recorded of it."""
    # given
    ann = bench.user()
    worker_id, (old,) = bench.claims(ann)
    with bench.database.write() as session:
        factories.finish(session, worker_id, old, Ending.RETRY, delay_seconds=0, error=_ERROR)
        (new,) = factories.take(session, worker_id)
    ledger = bench.ledger(worker_id)
    seen: list[str] = []
    late = factories.outcome(old, Ending.FAILED, error=_ERROR, fingerprint="f", effects=[lambda _: seen.append("late")])
    good = factories.outcome(new, Ending.COMPLETED, result="1", effects=[lambda _: seen.append("good")])
    # when
    for outcome in (late, good) if late_first else (good, late):
        ledger.finish(outcome)
    ledger.start()
    assert ledger.flush(20)
    # then
    assert (bench.statuses(new.id), bench.count("dead_letters"), seen) == (["completed"], 0, ["good"])
    with bench.database.read() as session:
        last = run(session, "SELECT * FROM transitions WHERE job_id = :id ORDER BY seq DESC LIMIT 1", id=new.id).one()
    assert (last.attempt, last.error) == (2, None)


def test_a_late_outcome_leaves_the_slot_of_a_later_claim(bench: Bench) -> None:
    """A cancelled job keeps its slot until the attempt at work has ended: an earlier one that comes late does not free it."""
    # given
    ann = bench.user()
    worker_id, (old,) = bench.claims(ann)
    with bench.database.write() as session:
        factories.finish(session, worker_id, old, Ending.RETRY, delay_seconds=0, error=_ERROR)
        (new,) = factories.take(session, worker_id)
        cancellation.cancel(session, job_id=new.id, user_id=ann)
    held = []
    # when
    for outcome in (old, new):
        with bench.database.write() as session:
            factories.finish(session, worker_id, outcome, Ending.COMPLETED)
            held.append(factories.fetch(session, "users", ann).held)
    # then
    assert held == [1, 0]


# A database that goes away.


class ReplyLost:
    """Lets commits go through and their replies get lost, as often as asked for."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
        self.times = times
        original = database.session

        def session() -> Session:
            made = original()
            commit = made.commit

            def loses_reply() -> None:
                commit()
                if self.times > 0:
                    self.times -= 1
                    raise OperationalError("COMMIT", {}, ConnectionError("connection reset"))

            made.commit = loses_reply  # type: ignore[method-assign]
            return made

        monkeypatch.setattr(database, "session", session)


def test_an_outcome_whose_reply_was_lost_is_there_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome, its follow-ups and its effects are committed once."""
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    limit = "INSERT INTO type_limits (name, max_held, held) VALUES (:name, 1, 0)"
    ledger.finish(
        factories.outcome(
            taken,
            Ending.COMPLETED,
            result="1",
            follow_ups=factories.submissions(2),
            effects=[lambda session: run(session, limit, name=new_id())],
        )
    )
    lost = ReplyLost(bench.database, monkeypatch)

    ledger.start()
    assert ledger.flush(20)

    assert lost.times == 0
    assert (bench.statuses(taken.id), bench.count("jobs"), bench.count("type_limits")) == (["completed"], 3, 1)


@pytest.mark.parametrize("key", [None, "key"])
def test_a_submission_whose_reply_was_lost_is_there_once(bench: Bench, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """The caller hears of the jobs that were committed, and there are no others; nor was it anybody's replay."""
    ann, ledger = bench.user(), bench.ledger()
    lost = ReplyLost(bench.database, monkeypatch)
    ledger.start()

    admitted = ledger.submit(unit(ann, 1 if key else 3, idempotency_key=key, request_hash=key))

    assert (lost.times, bench.count("jobs")) == (0, len(admitted.ids))
    assert set(bench.statuses(*admitted.ids)) == {"queued"}
    assert not admitted.replayed
    assert len(admitted.positions) == len(admitted.ids)


def test_a_lost_reply_and_then_poison(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed without an answer is still known as that when the repeated turn has to be taken apart."""
    # given
    ann, ledger = bench.user(), bench.ledger()
    calls: list[int] = []

    def fails_the_second_time(session: Session) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("mine")

    answers: list[Any] = []
    threads = [
        asked(ledger, lambda: answers.append(ledger.submit(unit(ann))), 1),
        asked(ledger, lambda: pytest.raises(KeyError, ledger.write, fails_the_second_time), 2),
    ]
    ReplyLost(bench.database, monkeypatch)
    # when
    ledger.start()
    for thread in threads:
        thread.join()
    # then
    assert [bench.statuses(*answer.ids) for answer in answers] == [["queued"]]
    assert bench.count("jobs") == 1


def test_claims_of_messages_are_in_hand_before_they_are_answered(bench: Bench) -> None:
    """Whoever is told of a claim finds it held, and what nobody waits for any more is not held at all."""
    ann = bench.user()
    with bench.database.write() as session:
        factories.submit(session, ann, *factories.submissions(2))
        worker_id = factories.worker(session)
        kept, given_up = factories.take(session, None, mode=dispatch.Mode.SEND)
    ledger, held = bench.ledger(worker_id), []
    first = ledger.ask(kept.id, kept.dispatch_no, hold=lambda claim: held.append(claim.id) or "held")
    second = ledger.ask(given_up.id, given_up.dispatch_no, hold=lambda claim: held.append(claim.id))
    assert second.cancel()
    ledger.start()
    assert wait_for(first) == "held"
    assert held == [kept.id]
    assert bench.statuses(kept.id, given_up.id) == ["processing", "queued"]


def test_only_calm_jobs_are_claimed_ahead_by_message(bench: Bench) -> None:
    """With two attempts left and never rescued; a thread that asks gets the others, too."""
    ann = bench.user()
    with bench.database.write() as session:
        factories.submit(session, ann, factories.submission(max_attempts=4), factories.submission(max_attempts=1))
        worker_id = factories.worker(session)
        calm, last = factories.take(session, None, mode=dispatch.Mode.SEND)
    ledger = bench.ledger(worker_id)
    ledger.start()
    ahead = [ledger.ask(sent.id, sent.dispatch_no, hold=lambda claim: claim, ahead=True) for sent in (calm, last)]
    claim, none = map(wait_for, ahead)
    assert (claim.id, claim.ahead, none) == (calm.id, True, None)
    asked_by_a_thread = claimed(ledger, last)
    assert (asked_by_a_thread.id, asked_by_a_thread.ahead) == (last.id, False)


def test_a_claim_whose_reply_was_lost_is_nobodys(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim stands and is not answered again; the beat finds it unknown and hands it back."""
    ann = bench.user()
    with bench.database.write() as session:
        factories.submit(session, ann)
        worker_id = factories.worker(session)
        (sent,) = factories.take(session, None, mode=dispatch.Mode.SEND)
    ledger = bench.ledger(worker_id)
    lost = ReplyLost(bench.database, monkeypatch)
    answers: list[dispatch.Taken | None] = []
    thread = asked(ledger, lambda: answers.append(claimed(ledger, sent)), 1)

    ledger.start()
    thread.join()

    assert (lost.times, answers) == (0, [None])
    assert bench.statuses(sent.id) == ["processing"]
    handed_back = ledger.write(lambda session: attempts.hand_back_unknown(session, worker_id=worker_id, claims=[(sent.id, 1)]))
    with bench.database.read() as session:
        job = factories.fetch(session, "jobs", sent.id)
    assert (handed_back, job.status, job.attempt, bool(job.slot)) == ({sent.id}, "queued", 0, False)


@pytest.mark.postgresql
def test_a_restart_of_the_server_loses_nothing(postgres_database: str) -> None:
    """The connection is ended in the middle of a turn: the turn is repeated, and everything is there once."""
    # given
    from persistence.settings import DatabaseSettings

    bench = Bench(Database(DatabaseSettings(), url=postgres_database))
    ann = bench.user()
    worker_id, claims = bench.claims(ann, 3)
    ledger = bench.ledger(worker_id)
    ended: list[int] = []

    def ends_connection(session: Session) -> None:
        if len(ended) < 2:
            ended.append(1)
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    for taken in claims:
        ledger.finish(
            factories.outcome(taken, Ending.COMPLETED, result="1", follow_ups=factories.submissions(1), effects=[ends_connection])
        )
    answers: list[admission.Admitted] = []
    thread = asked(ledger, lambda: answers.append(ledger.submit(unit(ann))), 4)
    # when
    ledger.start()
    thread.join()
    assert ledger.flush(30)
    ledger.close()
    # then
    assert (len(ended), bench.count("jobs"), bench.fatal) == (2, 3 + 3 + 1, [])
    assert bench.statuses(*(taken.id for taken in claims), *answers[0].ids) == ["completed"] * 3 + ["queued"]
    bench.database.close()


def test_callers_are_not_left_hanging(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away callers get an error within seconds, and an outcome is kept until it is back."""
    # given
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    original, away = bench.database.session, threading.Event()
    away.set()

    def session() -> Session:
        if away.is_set():
            raise DatabaseUnavailableError
        return original()

    monkeypatch.setattr(bench.database, "session", session)
    ledger.finish(factories.outcome(taken, Ending.COMPLETED, result="1"))
    ledger.start()
    # when
    with pytest.raises(DatabaseUnavailableError):
        ledger.submit(unit(ann))
    assert not ledger.flush(0.05)
    away.clear()
    # then
    assert ledger.flush(20)
    assert (bench.statuses(taken.id), bench.count("jobs")) == (["completed"], 1)


@contextmanager
def user_locked(database: Database, user_id: str) -> Iterator[None]:
    """Hold a user's row in a transaction of somebody else's."""
    with database.write() as session:
        run(session, "SELECT 1 FROM users WHERE id = :id FOR UPDATE", id=user_id)
        yield


@pytest.mark.postgresql
class TestLockedUser:
    """Somebody holds one user's row for a long time."""

    @pytest.fixture
    def bench(self, postgres_database: str) -> Iterator[Bench]:
        """Give a bench on PostgreSQL; SQLite has one lock for everything."""
        from persistence.settings import DatabaseSettings

        bench = Bench(Database(DatabaseSettings(), url=postgres_database))
        yield bench
        for ledger in bench.made:
            ledger.close()
        bench.database.close()

    def test_does_not_stop_other_users(self, bench: Bench) -> None:
        """Other users' jobs are admitted and ended all the while, and the locked user's own right after."""
        # given
        ann, bob = bench.user("ann"), bench.user("bob")
        worker_id, (locked,) = bench.claims(ann)
        ledger = bench.ledger(worker_id)
        ledger.start()
        with user_locked(bench.database, ann):
            ledger.finish(factories.outcome(locked, Ending.COMPLETED, result="1"))
            # when
            for _ in range(30):
                ledger.submit(unit(bob), timeout_seconds=3)
            # then
            assert bench.statuses(locked.id) == ["processing"]
        assert ledger.flush(10)
        assert bench.statuses(locked.id) == ["completed"]

    def test_does_not_stop_claims_and_calls(self, bench: Bench) -> None:
        """Beats, progress and claims of others go on."""
        ann, bob = bench.user("ann"), bench.user("bob")
        worker_id, (locked,) = bench.claims(ann)
        with bench.database.write() as session:
            factories.submit(session, bob)
            (sent,) = factories.take(session, None, mode=dispatch.Mode.SEND)
        ledger = bench.ledger(worker_id)
        ledger.start()
        with user_locked(bench.database, ann):
            ledger.finish(factories.outcome(locked, Ending.COMPLETED, result="1"))
            for number in range(10):
                assert ledger.write(lambda _, number=number: number, timeout_seconds=3) == number
            assert claimed(ledger, sent, 3) is not None
        assert ledger.flush(10)

    def test_is_served_between_short_locks(self, bench: Bench) -> None:
        """A user whose row is locked again and again, for moments, gets a turn all the same."""
        ann = bench.user("ann")
        ledger, stop = bench.ledger(), threading.Event()
        ledger.start()

        def contends() -> None:
            while not stop.is_set():
                with user_locked(bench.database, ann):
                    stop.wait(0.01)

        rivals = [threading.Thread(target=contends) for _ in range(3)]
        for rival in rivals:
            rival.start()
        try:
            for _ in range(5):
                ledger.submit(unit(ann), timeout_seconds=10)
        finally:
            stop.set()
            for rival in rivals:
                rival.join()

    def test_whoever_gave_up_gets_nothing_later(self, bench: Bench) -> None:
        """A caller who was told that it did not work does not find the job done later on."""
        ann, bob = bench.user("ann"), bench.user("bob")
        ledger = bench.ledger()
        ledger.start()
        with user_locked(bench.database, ann), pytest.raises(DatabaseUnavailableError):
            ledger.submit(unit(ann), timeout_seconds=0.5)
        ledger.submit(unit(bob))
        assert ledger.flush(10)
        assert bench.count("jobs") == 1


@pytest.fixture
def impatient_sqlite(sqlite_database: str) -> Iterator[Bench]:
    """Give a bench on SQLite where a busy database is an error at once."""
    from sqlalchemy import event

    from persistence.settings import DatabaseSettings

    database = Database(DatabaseSettings(), url=sqlite_database)
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 0"))
    bench = Bench(database)
    yield bench
    for ledger in bench.made:
        ledger.close()
    database.close()


def test_a_busy_sqlite_is_waited_for(impatient_sqlite: Bench) -> None:
    """Another process writes for longer than SQLite waits: the turn is repeated until it is in."""
    bench = impatient_sqlite
    ann = bench.user()
    worker_id, (taken,) = bench.claims(ann)
    ledger = bench.ledger(worker_id)
    with bench.database.write() as session:
        run(session, "SELECT 1")  # begins the transaction, and with it the lock
        ledger.finish(factories.outcome(taken, Ending.COMPLETED, result="1"))
        ledger.start()
        assert not ledger.flush(0.5)
    assert ledger.flush(20)
    assert (bench.statuses(taken.id), bench.fatal) == (["completed"], [])


def test_the_limit_holds_across_turns(bench: Bench) -> None:
    """Fifty callers of a free user at once: one is let in, 49 are told the limit."""
    ann, ledger = bench.user(tier="free"), bench.ledger()
    ledger.start()
    answers = in_threads([lambda: ledger.submit(unit(ann))] * 50)
    refused = [answer for answer in answers if isinstance(answer, ConcurrentJobLimitError)]
    assert (len(refused), bench.count("jobs")) == (49, 1)


def test_a_ledger_that_is_never_idle_lets_in_what_is_due(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn with entries looks for what is due as one without them does: under load there are no others."""
    looked: list[Session] = []
    promote = due.promote
    monkeypatch.setattr(due, "promote", lambda session: looked.append(session) or promote(session))
    with bench.database.write() as session:
        ledger = bench.ledger(factories.worker(session))
    ledger._write(Turn(calls=[Call(lambda session: None)]), looks=True)
    ledger._roll_back()
    assert len(looked) == 1
