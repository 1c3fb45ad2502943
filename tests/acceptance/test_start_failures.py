"""What cannot be used is said at the start: one line that names the setting and why, whichever command is started."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.keeping import free_port

pytestmark = pytest.mark.timeout(120)

_CLI = [sys.executable, "-c", "from api.cli import main; main()"]
_WORKER = [sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", "1"]
# On a machine that does much else; by itself it takes a second, and five more where nobody answers.
MOST_SECONDS = 30.0
# A password of which no piece may be seen, whatever stands between the pieces.
PIECES = ("first-Qm7", "second-Xw9")
SECRET = "/@".join(PIECES)
ENCODED = quote(SECRET, safe="")


class Ended(NamedTuple):
    """How a command ended.

    :param lines: what it has said itself, without what Dramatiq's command says in any case.
    """

    code: int
    lines: list[str]
    output: str
    seconds: float


def start(command: str, folder: Path, **settings: str) -> Ended:
    """Start a command with settings, and wait for its end.

    :param command: `worker`, or the words after `greenroom`.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM_")}
    words = _WORKER if command == "worker" else [*_CLI, *command.split()]
    environment |= {"GREENROOM_DATA_DIR": str(folder / "var"), "GREENROOM_PORT": "0", "GREENROOM_WORKER_PROCESSES": "1"}
    began = time.monotonic()
    done = subprocess.run(
        words, env=environment | settings, timeout=2 * MOST_SECONDS, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "[dramatiq.MainProcess]" not in line]
    return Ended(done.returncode, lines, done.stdout + done.stderr, time.monotonic() - began)


def said_in_a_line(ended: Ended, setting: str, why: str) -> None:
    """See to it that one line says which setting cannot be used and why, soon, and no more than that."""
    assert ended.code != 0
    assert len(ended.lines) == 1, ended.output
    assert ended.lines[0].startswith(f"greenroom: {setting}: "), ended.output
    assert re.search(why, ended.lines[0]), ended.output
    assert "Traceback" not in ended.output
    assert ended.seconds < MOST_SECONDS


def hidden(url: str, ended: Ended) -> None:
    """See to it that nothing of a password has been printed, in whatever form it stands in the URL."""
    own = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    secrets = [secret for secret in (*PIECES, own, unquote(own)) if secret]
    assert [secret for secret in secrets if secret in ended.output] == [], ended.output


def at(url: str, *, password: str = ENCODED, place: str | None = None, path: str | None = None) -> str:
    """Give the URL of a server with another password, host and port, or path."""
    parts = urlsplit(url)
    place = place or f"{parts.hostname}:{parts.port}"
    return f"{parts.scheme.split('+')[0]}://{parts.username or ''}:{password}@{place}{parts.path if path is None else path}"


def nobody() -> str:
    """Give a place where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def given(fixture: str, **changes: str) -> Callable[[pytest.FixtureRequest], str]:
    """Make what gives the URL of a real server with a change; its own password goes with it only if there is no other one."""
    return lambda request: at(request.getfixturevalue(fixture), **changes)


def known(fixture: str, *, path: str) -> Callable[[pytest.FixtureRequest], str]:
    """Make what gives the URL of a real server with its right password, and another path."""

    def url(request: pytest.FixtureRequest) -> str:
        found: str = request.getfixturevalue(fixture)
        return at(found, password=str(urlsplit(found).password), path=path)

    return url


def hosts(request: pytest.FixtureRequest) -> str:
    """Give a URL of two hosts: nobody is at the first one, and the second one knows another password."""
    found = urlsplit(request.getfixturevalue("rabbitmq_url"))
    return f"amqp://{found.username}:{ENCODED}@{nobody()},{found.hostname}:{found.port}{found.path}"


REFUSED, UNREADABLE = "Connection refused", "cannot be read"
DATABASES = [
    pytest.param(lambda _: f"postgresql://ann:{ENCODED}@{nobody()}/x", REFUSED, id="nobody-there"),
    pytest.param(lambda _: f"mysql://ann:{ENCODED}@127.0.0.1/x", "needs to start with postgresql:// or sqlite:///", id="scheme"),
    pytest.param(lambda _: f"postgresql://ann:{ENCODED}@127.0.0.1:port/x", UNREADABLE, id="port"),
    pytest.param(lambda _: f"postgresql://ann:{SECRET}@127.0.0.1/x", UNREADABLE, id="password-as-it-is"),
    pytest.param(lambda _: f"postgresql://ann:{ENCODED}@127.0.0.1/x?nonsense=1", '"nonsense"', id="option"),
    pytest.param(lambda _: "sqlite:////dev/null/greenroom.db", "/dev/null", id="no-folder"),
    pytest.param(lambda _: f"sqlite:///{__file__}", "not a database", id="no-database"),
    pytest.param(
        given("postgres_url"), "password authentication failed", id="wrong-password", marks=pytest.mark.postgresql
    ),
    pytest.param(
        known("postgres_url", path="/nowhere"), '"nowhere" does not exist', id="no-such-database", marks=pytest.mark.postgresql
    ),
]  # fmt: skip
BROKERS = [
    pytest.param(lambda _: f"kafka://ann:{ENCODED}@127.0.0.1/", "needs to start with amqp://, redis://", id="scheme"),
    pytest.param(lambda _: "no_such_module:broker", "no_such_module", id="factory"),
    *[
        pytest.param(lambda _, url=url: url.format(nobody()), why, id=f"{url.split(':')[0]}-{name}")
        for url, name, why in [
            (f"amqp://ann:{ENCODED}@{{}}/", "nobody-there", REFUSED),
            (f"redis://:{ENCODED}@{{}}/0", "nobody-there", REFUSED),
            (f"amqp://ann:{ENCODED}@127.0.0.1:port/", "port", UNREADABLE),
            (f"redis://:{ENCODED}@127.0.0.1:port/0", "port", UNREADABLE),
            (f"amqp://ann:{SECRET}@{{}}/", "password-as-it-is", UNREADABLE),
            (f"redis://:{SECRET}@{{}}/0", "password-as-it-is", UNREADABLE),
            (f"redis://:{ENCODED}@{{}}/0?nonsense=1", "option", UNREADABLE),
        ]
    ],
    *[
        pytest.param(make, why, id=f"amqp-{name}", marks=pytest.mark.rabbitmq)
        for name, make, why in [
            ("wrong-password", given("rabbitmq_url"), "the user or the password is refused"),
            ("no-such-host", known("rabbitmq_url", path="/nowhere"), "the virtual host is refused"),
            ("hosts", hosts, r"127\.0\.0\.1:\d+: Connection refused; .*:\d+: the user or the password is refused"),
        ]
    ],
    pytest.param(given("redis_url"), "the user or the password is refused", id="redis-wrong-password", marks=pytest.mark.redis),
]


@pytest.mark.parametrize("command", ["up", "migrate", "worker"])
@pytest.mark.parametrize(("url", "why"), DATABASES)
def test_a_database_that_cannot_be_used(
    url: Callable[[pytest.FixtureRequest], str], why: str, command: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Whoever is to use a database that is away, refuses or cannot be meant says so in one line, without the password."""
    asked = url(request)
    ended = start(command, tmp_path, GREENROOM_DATABASE_URL=asked)
    said_in_a_line(ended, "GREENROOM_DATABASE_URL", why)
    hidden(asked, ended)


@pytest.mark.parametrize("command", ["up", "worker"])
@pytest.mark.parametrize(("url", "why"), BROKERS)
def test_a_broker_that_cannot_be_used(
    url: Callable[[pytest.FixtureRequest], str], why: str, command: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Likewise a broker, and of several hosts each one's reason."""
    asked = url(request)
    ended = start(command, tmp_path, GREENROOM_BROKER_URL=asked)
    said_in_a_line(ended, "GREENROOM_BROKER_URL", why)
    hidden(asked, ended)


@pytest.mark.parametrize("words", [["verify"], ["keys", "create", "--user", "ann", "--tenant", "acme", "--tier", "pro"]])
def test_the_commands_on_the_machine_say_it_alike(words: list[str], tmp_path: Path) -> None:
    """What an operator does beside a running Greenroom needs the database as much."""
    asked = f"postgresql://ann:{ENCODED}@{nobody()}/x"
    ended = start(" ".join(words), tmp_path, GREENROOM_DATABASE_URL=asked)
    said_in_a_line(ended, "GREENROOM_DATABASE_URL", REFUSED)
    hidden(asked, ended)


def test_the_embedded_database_has_a_setting_too(tmp_path: Path) -> None:
    """Where no URL is set it is the folder that cannot be used."""
    (tmp_path / "var").write_text("no folder")
    said_in_a_line(start("up", tmp_path), "GREENROOM_DATA_DIR", "File exists")


def test_a_worker_without_tables_says_what_to_do(tmp_path: Path) -> None:
    """A worker does not migrate; where nobody has, it says so."""
    said_in_a_line(start("worker", tmp_path), "GREENROOM_DATA_DIR", "run `greenroom migrate` first")


def test_an_api_without_workers_needs_the_broker_too(tmp_path: Path) -> None:
    """A wrong URL is found where it is set: with the first `greenroom up`, not with the first worker on another machine."""
    ended = start("up", tmp_path, GREENROOM_WORKER_PROCESSES="0", GREENROOM_BROKER_URL=f"amqp://ann:{ENCODED}@{nobody()}/")
    said_in_a_line(ended, "GREENROOM_BROKER_URL", REFUSED)
