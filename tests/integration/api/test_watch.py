"""The watch over the API's one writer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import Session

from api.watch import LedgerHangsError, Watch
from persistence.database import Database
from persistence.ledger import Ledger
from persistence.settings import DatabaseSettings
from tests.waiting import until


@pytest.fixture
def database(database_url: str) -> Database:
    """Open the test's own database."""
    return Database(DatabaseSettings(), url=database_url)


def test_a_process_whose_writer_hangs_is_ended(database: Database) -> None:
    """A write that the database never answers would keep everybody from submitting anything: the process must not go on."""
    ledger, ended, answers = Ledger(database), list[BaseException](), threading.Event()
    watch = Watch(ledger, longest_seconds=0.5, on_fatal=ended.append)
    ledger.start()
    watch.start()
    with ThreadPoolExecutor() as pool:

        def hang(session: Session) -> None:
            del session
            answers.wait(30)

        for _ in range(20):  # many turns, each of them short
            ledger.write(lambda session: None)
        assert ended == []
        hanging = pool.submit(ledger.write, hang)
        until(lambda: ended, "end of the process")
        answers.set()
        hanging.result()
    watch.close()
    ledger.close()
    database.close()
    assert [type(error) for error in ended] == [LedgerHangsError]
