"""Every broker, on a database, with a house and a queue of the test's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from persistence.verify import verify
from tests.integration.brokers.theatre import Theatre
from tests.integration.brokers.wires import KeptRabbitmqWire, KeptRedisWire, RabbitmqWire, RedisWire, StubWire, Wire

Open = Callable[..., Theatre]

RABBITMQ = [pytest.mark.rabbitmq, pytest.mark.timeout(180)]
REDIS = [pytest.mark.redis, pytest.mark.timeout(180)]
SQL = [
    pytest.param(("sqlite", "sql"), id="sqlite-sql"),
    pytest.param(("postgres", "sql"), id="postgres-sql", marks=pytest.mark.postgresql),
]
MESSAGES = [
    pytest.param(("sqlite", "stub"), id="sqlite-stub"),
    pytest.param(("sqlite", "factory"), id="sqlite-factory"),
    pytest.param(("sqlite", "rabbitmq"), id="sqlite-rabbitmq", marks=RABBITMQ),
    pytest.param(("postgres", "rabbitmq"), id="postgres-rabbitmq", marks=[pytest.mark.postgresql, *RABBITMQ]),
    pytest.param(("sqlite", "redis"), id="sqlite-redis", marks=REDIS),
    pytest.param(("postgres", "redis"), id="postgres-redis", marks=[pytest.mark.postgresql, *REDIS]),
]
SERVERS = [
    pytest.param(("postgres", "kept_rabbitmq"), id="postgres-rabbitmq", marks=[pytest.mark.postgresql, *RABBITMQ]),
    pytest.param(("postgres", "kept_redis"), id="postgres-redis", marks=[pytest.mark.postgresql, *REDIS]),
]
EVERY = pytest.mark.parametrize("stage", SQL + MESSAGES, indirect=True)
WITH_MESSAGES = pytest.mark.parametrize("stage", MESSAGES, indirect=True)
WITH_SERVERS = pytest.mark.parametrize("stage", SERVERS, indirect=True)


def wire_of(kind: str, request: pytest.FixtureRequest) -> Wire | None:
    """Give the other end of a broker; None for the SQL broker, which has none."""
    give: dict[str, Callable[[], Wire | None]] = {
        "sql": lambda: None,
        "stub": lambda: StubWire("stub://"),
        "factory": lambda: StubWire("tests.integration.brokers.wires:made_by_hand"),
        "rabbitmq": lambda: RabbitmqWire(request.getfixturevalue("rabbitmq_url")),
        "redis": lambda: RedisWire(request.getfixturevalue("redis_url")),
        "kept_rabbitmq": lambda: KeptRabbitmqWire(request.getfixturevalue("rabbitmq_server")),
        "kept_redis": lambda: KeptRedisWire(request.getfixturevalue("redis_server")),
    }
    return give[kind]()


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> tuple[str, Wire | None]:
    """Give the URL of a database and the other end of a broker."""
    database, broker = request.param
    return request.getfixturevalue(f"{database}_database"), wire_of(broker, request)


@pytest.fixture
def opened(stage: tuple[str, Wire | None]) -> Iterator[Open]:
    """Open theatres on the stage; in the end all are closed, and every invariant must hold."""
    url, wire = stage
    theatres: list[Theatre] = []

    def open_one(*, is_open: bool = True, threads: int = 2, wire: Wire | None = wire, **settings: Any) -> Theatre:
        theatre = Theatre(url, wire, **settings)
        theatres.append(theatre)
        if is_open:
            theatre.open(threads)
        return theatre

    yield open_one
    for theatre in theatres:
        theatre.close()
    with theatres[-1].house.database.read() as session:
        violations = verify(session)
    for theatre in theatres:
        theatre.house.database.close()
    assert violations == []
    assert [error for theatre in theatres for error in theatre.house.fatal] == []
