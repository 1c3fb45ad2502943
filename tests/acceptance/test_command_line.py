"""The command line as a client: what a caller with a key can do from a shell, and what the exit codes say."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from tests.acceptance.compose import choice
from tests.acceptance.compose.stack import Stack
from tests.acceptance.greenroom_up import KEY, Operator, Up, free_port

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="the tests' own `greenroom up` reads /proc"),
]

DONE, REFUSED, WRONG_USAGE = 0, 1, 2
_KEYS = ("keys", "create", "--tenant", "acme", "--user")


@pytest.fixture(scope="module")
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Run one Greenroom for all these tests; or give Compose's."""
    if choice.IS_ASKED_FOR:
        stack: Stack = request.getfixturevalue("stack")
        stack.work()
        yield stack
        return
    up = Up(tmp_path_factory.mktemp("up"), WORKER_PROCESSES="1")
    up.wait_for("Greenroom is running.")
    yield up
    up.close()


def greenroom(up: Operator, *words: str, stdin: str = "", **settings: str) -> Result:
    """Run the command line as the operator."""
    known = {"GREENROOM_URL": f"http://127.0.0.1:{up.port}", "GREENROOM_KEY": KEY}
    return CliRunner().invoke(main, words, env=known | settings, input=stdin)


def submitted(up: Operator, type: str, payload: str = "{}", *options: str) -> str:
    """Submit a job by the command line and give its id."""
    job_id: str = json.loads(greenroom(up, "submit", type, payload, "--json", *options).stdout)["id"]
    return job_id


def test_submit_and_wait(up: Operator) -> None:
    """`submit --wait`, as a process of its own, ends when the job has completed, with its result."""
    words = ["submit", "tests.echo", '{"word": "hello"}', "--wait", "--json"]
    settings = {"GREENROOM_URL": f"http://127.0.0.1:{up.port}", "GREENROOM_KEY": KEY}
    job = subprocess.run(
        [sys.executable, "-c", "from api.cli import main; main()", *words],
        env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert job.returncode == DONE, job.stderr
    assert json.loads(job.stdout)["result"] == {"word": "hello"}


def test_submit_for_people(up: Operator) -> None:
    """Without `--json` a job is shown in lines, and what came from others cannot steer the terminal."""
    job = greenroom(up, "submit", "tests.fail", "-", "--wait", stdin='{"why": "\\u001b[31mred\\nline"}')
    assert job.exit_code == REFUSED
    assert "status       failed" in job.stdout
    assert "no good: \\x1b[31mred\\nline" in job.stdout


def test_submit_with_wishes(up: Operator) -> None:
    """All that a job can be submitted with can be said, and the same idempotency key gives the same job."""
    words: tuple[str, ...] = (
        "--priority",
        "high",
        "--tag",
        "a",
        "--tag",
        "b",
        "--max-attempts",
        "2",
        "--idempotency-key",
        "once",
    )
    words += ("--run-after", "2100-01-01T00:00:00Z")
    job_id = submitted(up, "tests.echo", "{}", *words)
    assert submitted(up, "tests.echo", "{}", *words) == job_id
    job = json.loads(greenroom(up, "get", job_id, "--json").stdout)
    assert (job["priority"], job["tags"], job["max_attempts"], job["waiting_for"]) == (10, ["a", "b"], 2, "schedule")


def test_list(up: Operator) -> None:
    """`list` shows the newest jobs first, of one status if asked."""
    job_id = submitted(up, "tests.echo", "{}", "--tag", "listed", "--run-after", "2100-01-01T00:00:00Z")
    listed = greenroom(up, "list", "--tag", "listed", "--status", "queued")
    assert listed.stdout.splitlines()[0].split() == ["id", "status", "type", "created_at"]
    assert listed.stdout.splitlines()[1].split()[:3] == [job_id, "queued", "tests.echo"]


def test_cancel(up: Operator) -> None:
    """`cancel` cancels, again and again; a job that has completed is refused."""
    job_id = submitted(up, "tests.echo", "{}", "--run-after", "2100-01-01T00:00:00Z")
    assert [greenroom(up, "cancel", job_id).exit_code for _ in range(2)] == [DONE, DONE]
    done = submitted(up, "tests.echo", "{}", "--wait")
    refused = greenroom(up, "cancel", done)
    assert (refused.exit_code, "JOB_FINISHED" in refused.stderr) == (REFUSED, True)


def test_watch(up: Operator) -> None:
    """`watch` tells a job's events to its end, and its exit code how that was."""
    done, failed = submitted(up, "tests.echo"), submitted(up, "tests.fail")
    watched = greenroom(up, "watch", done, "--json")
    events = [json.loads(line)["event"] for line in watched.stdout.splitlines()]
    assert (watched.exit_code, events) == (DONE, ["job.enqueued", "job.active", "job.completed"])
    watched = greenroom(up, "watch", failed)
    assert watched.exit_code == REFUSED
    assert watched.stdout.splitlines()[-1].startswith("job.failed")


def test_dead_letters(up: Operator) -> None:
    """Dead letters can be listed, shown, replayed and thrown away."""
    job_id = submitted(up, "tests.fail", '{"why": "tried"}', "--wait")
    letters = json.loads(greenroom(up, "dead-letters", "list", "--type", "tests.fail", "--json").stdout)["items"]
    (letter,) = [letter["id"] for letter in letters if letter["job"] == job_id]
    shown = json.loads(greenroom(up, "dead-letters", "show", letter).stdout)
    assert "Permanent" in shown["traceback"]
    assert greenroom(up, "dead-letters", "replay", letter, "--payload", '{"why": "again"}').exit_code == DONE
    assert "no good: again" in up.finished(job_id)["error"]["message"]
    assert greenroom(up, "dead-letters", "delete", letter).exit_code == DONE
    assert greenroom(up, "dead-letters", "show", letter).exit_code == REFUSED


def test_doctor(up: Operator) -> None:
    """`doctor` finds nothing wrong where nothing is, and says what to do where something is."""
    healthy = greenroom(up, "doctor")
    assert (healthy.exit_code, healthy.stdout.count("ok ")) == (DONE, 4)
    keyless = greenroom(up, "doctor", GREENROOM_KEY="")
    assert (keyless.exit_code, "GREENROOM_KEY is unset" in keyless.stdout) == (REFUSED, True)
    away = greenroom(up, "doctor", GREENROOM_URL=f"http://127.0.0.1:{free_port()}")
    assert (away.exit_code, "is Greenroom running?" in away.stdout) == (REFUSED, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["submit", "tests.echo", "{"], WRONG_USAGE),
        (["submit", "tests.echo"], WRONG_USAGE),
        (["get", "../users"], WRONG_USAGE),
        (["nonsense"], WRONG_USAGE),
        (["submit", "tests.unheard", "{}"], REFUSED),
        (["get", "00000000-0000-7000-8000-000000000000"], REFUSED),
        (["list", "--status", "lost"], REFUSED),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_exit_codes(up: Operator, words: list[str], code: int) -> None:
    """Wrong usage ends with 2, a refused request with 1; both say why on standard error, in no traceback."""
    ended = greenroom(up, *words)
    assert ended.exit_code == code
    assert ended.stderr
    assert "Traceback" not in ended.stderr


def test_verify_a_running_greenroom(up: Operator) -> None:
    """`greenroom verify` finds nothing wrong with a database that is in use, and says so with 0."""
    submitted(up, "tests.echo", "{}", "--wait")
    sound = greenroom(up, "verify", **up.database_settings)
    assert (sound.exit_code, sound.stdout) == (DONE, "A1 to A6 hold.\n")


def test_verify_a_corrupted_database(up: Operator, sqlite_database: str) -> None:
    """`greenroom verify` prints a line for each violation and ends with 1."""
    made = greenroom(up, *_KEYS, "ann", "--tier", "pro", GREENROOM_DATABASE_URL=sqlite_database)
    assert (made.exit_code, made.stdout.startswith("gr_")) == (DONE, True)
    with closing(sqlite3.connect(sqlite_database.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE users SET held = 3")
    unsound = greenroom(up, "verify", GREENROOM_DATABASE_URL=sqlite_database)
    assert unsound.exit_code == REFUSED
    assert "counts 3 slots held and 0 are" in unsound.stdout


def test_keys_work(up: Operator) -> None:
    """A key made on the machine opens the API for its user, with the scope and until the moment that were asked for."""
    words = [*_KEYS, "ben", "--tier", "free", "--scope", "admin", "--expires-at", "2100-01-01T00:00:00Z"]
    made = greenroom(up, *words, **up.database_settings)
    key = made.stdout.strip()
    assert greenroom(up, "list", GREENROOM_KEY=key).exit_code == DONE
    (shown,) = up.call("GET", "/api/v1/users/ben/keys").json()["items"]
    assert (shown["scope"], shown["expires_at"]) == ("admin", "2100-01-01T00:00:00Z")
    assert greenroom(up, *words[:-1], "yesterday").exit_code == WRONG_USAGE
