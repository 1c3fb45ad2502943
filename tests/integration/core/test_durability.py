"""What is on the disk before anybody hears of it, and what need not be."""

import queue
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session

from middleware.hand import Hand
from middleware.outbox import Outbox
from middleware.settings import WorkerSettings
from persistence import ledger as ledgers
from persistence.attempts import Ending
from persistence.database import Database
from persistence.dispatch import Taken
from persistence.ledger import Ledger
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests import factories

_JOBS = 60  # more than a window, so that slots are given while outcomes come in
_OWN_STEPS = "SELECT count(*) FROM transitions WHERE xid = CAST(CAST(pg_current_xact_id() AS text) AS bigint)"


def test_only_a_dispatch_spares_the_disk(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that changes a job's status waits for the disk; one that only gives slots for messages does not."""
    # given
    database = Database(DatabaseSettings(), url=postgres_database)
    types = {factories.TYPE: factories.QUEUE}
    seen: list[tuple[str, bool]] = []
    commit: Callable[[Session], None] = ledgers.commit

    def watched(session: Session) -> None:
        setting = run(session, "SHOW synchronous_commit").scalar_one()
        seen.append((setting, run(session, _OWN_STEPS).scalar_one() > 0))
        commit(session)

    monkeypatch.setattr(ledgers, "commit", watched)
    with database.write() as session:
        ann, worker = factories.user(session), factories.worker(session)
        factories.submit(session, ann, *factories.submissions(_JOBS))
    sent: queue.SimpleQueue[Taken] = queue.SimpleQueue()
    fatal: list[BaseException] = []
    hand = Hand(WorkerSettings(), worker_id=worker, threads=2, types=types)
    outbox = Outbox(
        WorkerSettings(), hand=hand, types=types, publish=lambda jobs: deque(map(sent.put, jobs), maxlen=0), on_fatal=fatal.append
    )
    ledger = Ledger(database, worker_id=worker, source=outbox, on_fatal=fatal.append)
    # when
    ledger.start()
    for _ in range(_JOBS):
        job = sent.get(timeout=20)
        claim: Any = ledger.ask(job.id, job.dispatch_no, hold=lambda claim: claim).result(20)
        ledger.finish(factories.outcome(claim, Ending.COMPLETED))
    assert ledger.flush(20)
    ledger.close()
    outbox.close()
    database.close()
    # then
    assert fatal == []
    assert ("off", False) in seen
    assert {setting for setting, moves in seen if moves} == {"on"}
