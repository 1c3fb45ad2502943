"""`send` from Python: through admission, in a worker or in any other program."""

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest

from persistence.database import as_instant
from persistence.errors import ConcurrentJobLimitError, NotFoundError, ValidationError
from persistence.ids import new_id
from persistence.ledger import Ledger
from tests import factories
from tests.integration.core.house import House
from tests.integration.core.repertoire import Repertoire
from tests.integration.core.test_ledger import ReplyLost, asked


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """Give a house whose worker does not run."""
    house = House(database_url)
    yield house
    own = house.installation._sender._own
    if own is not None:
        own[1].close()
        own[0].close()
    house.close()


@pytest.fixture
def plays(house: House) -> Repertoire:
    """Declare job types."""
    with house.declaring():
        return Repertoire()


@pytest.mark.parametrize("by_name", [True, False])
def test_a_job_is_there_when_send_returns(house: House, plays: Repertoire, by_name: bool) -> None:
    """For a user by name or id, with the payload checked."""
    job = plays.square.send({"number": 4}, user="ann" if by_name else house.user)
    row = house.row(job)
    assert (row.status, row.payload, str(row.user_id), row.type) == ("queued", '{"number":4}', house.user, "plays.square")


def test_what_cannot_be_sent(house: House, plays: Repertoire) -> None:
    """An unknown user, a bad payload and a full tier are the errors of admission."""
    for user in ("nobody", new_id()):
        with pytest.raises(NotFoundError):
            plays.square.send({}, user=user)
    with pytest.raises(ValidationError, match="number"):
        plays.square.send({"number": "x"}, user="ann")
    with house.database.write() as session:
        factories.user(session, "bob", tier="free")
    plays.square.send({}, user="bob")
    with pytest.raises(ConcurrentJobLimitError):
        plays.square.send({}, user="bob")
    assert len(house.select("SELECT 1 FROM jobs")) == 1


@pytest.mark.parametrize("delay", [90_000, timedelta(seconds=90)])
def test_a_delay_is_kept_in_the_database(house: House, plays: Repertoire, delay: int | timedelta) -> None:
    """Dramatiq's own form, with its delay in milliseconds, waits as a schedule does."""
    job = plays.square.send_with_options(args=({"number": 1},), user="ann", delay=delay)
    row = house.row(job)
    run_after, created_at = as_instant(row.run_after), as_instant(row.created_at)
    assert run_after is not None
    assert created_at is not None
    assert abs((run_after - created_at).total_seconds() - 90) < 1
    assert row.blocked_by == "schedule"


def test_a_job_whose_reply_was_lost_is_sent_once(house: House, plays: Repertoire, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker the ledger repeats what it had no answer to, and the caller still gets the one job."""
    # given
    ledger = Ledger(house.database)
    running = SimpleNamespace(is_running=True, process=SimpleNamespace(ledger=ledger))
    monkeypatch.setattr(house.installation._sender, "_lifecycle", running)
    lost = ReplyLost(house.database, monkeypatch)
    sent: list[str] = []
    thread = asked(ledger, lambda: sent.append(plays.square.send({"number": 1}, user="ann")), 1)
    # when
    ledger.start()
    thread.join()
    ledger.close()
    # then
    assert (lost.times, [str(row.id) for row in house.select("SELECT id FROM jobs")]) == (0, sent)
