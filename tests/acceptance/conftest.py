"""The API, served for a test, and copies of the repository for a newcomer's commands."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.compose import choice
from tests.acceptance.compose.stack import Stack
from tests.acceptance.house import House
from tests.acceptance.pages import ROOT
from tests.acceptance.served import Served, captured_logs, served
from tests.services import give_up

_LEFT_OUT = pytest.StashKey[Counter[str]]()


@pytest.fixture(autouse=True)
def _logs_as_in_production() -> Iterator[None]:
    """Log as a server does; what structlog does by itself draws each traceback with all its variables."""
    with captured_logs():
        yield


@pytest.fixture(params=choice.HOUSES)
def greenroom(request: pytest.FixtureRequest) -> Served:
    """Serve the API on SQLite and on PostgreSQL, each time on a database of the test's own; or give Compose's."""
    running: Served = request.getfixturevalue(f"_greenroom_on_{request.param}")
    return running


@pytest.fixture
def greenroom_on_sqlite(request: pytest.FixtureRequest) -> Served:
    """Serve the API on SQLite only, for promises that no database has a part in; or give Compose's."""
    running: Served = request.getfixturevalue("_greenroom_on_compose" if choice.IS_ASKED_FOR else "_greenroom_on_sqlite")
    return running


@pytest.fixture
def _greenroom_on_sqlite(sqlite_database: str) -> Iterator[Served]:
    with served(sqlite_database) as running:
        yield running


@pytest.fixture
def _greenroom_on_postgres(postgres_database: str) -> Iterator[Served]:
    with served(postgres_database) as running:
        yield running


@pytest.fixture
def _greenroom_on_compose(stack: Stack) -> Iterator[Served]:
    stack.rest()
    with stack.emptied() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Give a function that builds a house; whatever runs in them is stopped after the test."""
    for command in ("bash", "curl", "make"):
        if shutil.which(command) is None:
            give_up(command, "it is not installed")
    built: list[House] = []

    def build(**settings: str) -> House:
        built.append(House(tmp_path / f"house{len(built)}", **settings))
        return built[-1]

    yield build
    for one in built:
        one.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring the stack of compose.yaml up, once for all tests, and take it down."""
    stack = Stack(tmp_path_factory.mktemp("stage"))
    try:
        stack.up()
        yield stack
    finally:
        (ROOT / "build" / "compose.log").write_text(stack.compose("logs", "--no-color", "--timestamps"))
        stack.down()


@pytest.hookimpl(tryfirst=True)  # before the tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what runs against Compose, if that is asked for."""
    if choice.IS_ASKED_FOR and items:
        config.stash[_LEFT_OUT] = choice.choose(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why."""
    for why, count in config.stash.get(_LEFT_OUT, Counter[str]()).most_common():
        terminalreporter.write_line(f"NOT RUN AGAINST COMPOSE: {count} of which each {why}")
