"""`greenroom up`, seen from outside: it starts everything, keeps it running and leaves nothing behind."""

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.greenroom_up import Up, descendants, is_running, title
from tests.waiting import until

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

RUNNING = "Greenroom is running."


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Give a function that starts a `greenroom up`; all of them are ended after the test."""
    started: list[Up] = []

    def start_one(folder: str = "one", **settings: str) -> Up:
        started.append(Up(tmp_path / folder, **settings))
        return started[-1]

    yield start_one
    for up in started:
        up.close()


def test_it_starts_everything(start: Callable[..., Up]) -> None:
    """One command migrates, starts API and workers, and says where they are once they answer; a job is done."""
    up = start()
    up.wait_for(RUNNING)
    assert up.call("GET", "/health/ready").status_code == 200
    assert f"http://127.0.0.1:{up.port}/schema" in up.output
    assert up.finished(up.submit("tests.echo", word="hello"))["result"] == {"word": "hello"}
    assert sorted(title(pid) for pid in descendants(up.pid)) == ["dramatiq actors -p 1 -t 8"] * 4 + ["greenroom api"]


def test_the_admin_key_is_shown_once(start: Callable[..., Up]) -> None:
    """Without a key of the operator's choice one is made at the first start and printed then, and never again."""
    first = start(ADMIN_KEY="", WORKER_PROCESSES="1")
    first.wait_for(RUNNING)
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    second = start(ADMIN_KEY="", WORKER_PROCESSES="1")
    second.wait_for(RUNNING)
    assert (first.output.count("gr_"), second.output.count("gr_")) == (1, 0)


def test_a_killed_worker_costs_only_itself(start: Callable[..., Up]) -> None:
    """A worker process that dies is replaced, loudly; its sibling works on undisturbed."""
    # given
    up = start()
    up.wait_for("worker.started", times=2)
    victim, sibling = up.workers()
    # when
    os.kill(victim, signal.SIGKILL)
    # then
    up.wait_for("worker.started", times=3)
    assert [event["level"] for event in up.events("process.died")] == ["error"]
    assert sibling in up.workers()
    assert up.finished(up.submit("tests.echo"))["status"] == "completed"


def test_a_killed_master_takes_its_worker_along(start: Callable[..., Up]) -> None:
    """When a Dramatiq master is killed, the worker that nobody looks after any more ends too, and both are replaced."""
    up = start(WORKER_PROCESSES="1")
    up.wait_for("worker.started")
    (worker,) = up.workers()
    (master,) = [pid for pid in descendants(up.pid) if "dramatiq" in title(pid) and pid != worker]
    os.kill(master, signal.SIGKILL)
    up.wait_for("worker.started", times=2)
    until(lambda: not is_running(worker), "end of the worker")


def test_a_killed_api_comes_back(start: Callable[..., Up]) -> None:
    """An API process that dies is replaced, and the workers work on undisturbed."""
    up = start()
    up.wait_for(RUNNING)
    workers = up.workers()
    (api,) = [pid for pid in descendants(up.pid) if title(pid) == "greenroom api"]
    os.kill(api, signal.SIGKILL)
    until(lambda: not is_running(api) and ready(up), "API that answers again")
    assert up.workers() == workers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_good_order(start: Callable[..., Up], tmp_path: Path, number: signal.Signals) -> None:
    """At a signal the work in hand is finished, a repeated one is harmless, and in the end no process is left."""
    # given
    up = start(WORKER_PROCESSES="1")
    up.wait_for(RUNNING)
    started, gate = tmp_path / "started", tmp_path / "gate"
    job_id = up.submit("tests.until", started=str(started), file=str(gate))
    until(started.exists, "start of the job")
    processes = descendants(up.pid)
    # when
    up.signal(number)
    up.wait_for('"stopping"')
    up.signal(number)
    up.signal(signal.SIGTERM)
    gate.touch()
    # then
    assert up.ended() == 0
    assert [pid for pid in processes if is_running(pid)] == []
    again = start(WORKER_PROCESSES="0")
    again.wait_for(RUNNING)
    job = again.call("GET", f"/api/v1/jobs/{job_id}").json()
    assert (job["status"], job["attempt"]) == ("completed", 1)


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    """Ctrl-C, which a terminal sends to every process of its foreground group, stops all in good order."""
    # given
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        environment = {"GREENROOM_PORT": "0", "GREENROOM_WORKER_PROCESSES": "1", "PATH": os.environ["PATH"]}
        os.execve(sys.executable, [sys.executable, "-c", "from api.cli import main; main()", "up"], environment)  # noqa: S606
    read_until(terminal, RUNNING)
    processes = descendants(child)
    # when
    os.write(terminal, b"\x03")
    # then
    rest = read_until(terminal, None)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, rest
    assert "Killing" not in rest
    assert [pid for pid in processes if is_running(pid)] == []


def test_nothing_outlives_it(start: Callable[..., Up]) -> None:
    """When it is killed itself, the API and the workers end too."""
    up = start()
    up.wait_for(RUNNING)
    up.wait_for("worker.started", times=2)
    processes = descendants(up.pid)
    up.signal(signal.SIGKILL)
    up.ended()
    until(lambda: not any(map(is_running, processes)), "end of all processes")


def test_a_port_in_use_is_said_in_a_line(start: Callable[..., Up]) -> None:
    """A port that somebody else listens on ends it at once, with one line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        up = start(PORT=str(port))
        assert up.ended() == 1
    assert up.output == (
        f"greenroom: port {port} on 127.0.0.1 is in use: stop what listens there, or set GREENROOM_PORT to another one\n"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ACTORS": "no_such_module"}, "no_such_module"),
        ({"DATABASE_URL": "sqlite:////dev/null/greenroom.db"}, "/dev/null"),
        ({"WORKER_THREADS": "many"}, "GREENROOM_WORKER_THREADS"),
        ({"ACTOR": "stage_jobs"}, "Did you mean GREENROOM_ACTORS?"),
        ({"ADMIN_KEY": "short"}, "GREENROOM_ADMIN_KEY"),
    ],
    ids=["no-such-module", "no-database", "no-number", "mistyped", "weak-key"],
)
def test_what_cannot_start_ends_it(start: Callable[..., Up], settings: dict[str, str], words: str) -> None:
    """A setting with which nothing can start ends it with exit code 1 and a message that names it."""
    up = start(**settings)
    assert up.ended() == 1
    assert words in up.output
    assert "Traceback" not in up.output


def test_a_worker_that_cannot_start_ends_it(start: Callable[..., Up], tmp_path: Path) -> None:
    """A worker that dies at each start ends the whole after a few tries, and says which process it was."""
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "deadly_jobs.py").write_text(
        "import os, pathlib\nif b'dramatiq' in pathlib.Path('/proc/self/cmdline').read_bytes(): os._exit(7)\n"
    )
    up = start("two", ACTORS="deadly_jobs", WORKER_PROCESSES="1")
    assert up.ended() == 1
    assert len(up.events("process.died")) == 2
    assert up.output.splitlines()[-1].startswith("greenroom: the worker 1 process cannot start")


def test_two_side_by_side(start: Callable[..., Up]) -> None:
    """Two of them with ports and folders of their own run on one machine and know nothing of each other."""
    one, two = start("one", WORKER_PROCESSES="1"), start("two", WORKER_PROCESSES="1")
    one.wait_for(RUNNING)
    two.wait_for(RUNNING)
    job_id = one.submit("tests.echo")
    assert one.finished(job_id)["status"] == "completed"
    assert two.call("GET", f"/api/v1/jobs/{job_id}").status_code == 404
    one.signal(signal.SIGTERM)
    assert one.ended() == 0
    assert two.finished(two.submit("tests.echo"))["status"] == "completed"


def test_help_is_quick() -> None:
    """`greenroom --help` imports neither the web framework nor the tables."""
    listing = "import sys; sys.argv = ['greenroom']; import api.cli; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout
    assert [name for name in ("litestar", "sqlmodel", "sqlalchemy", "pydantic", "httpx") if f"'{name}'" in modules] == []


def ready(up: Up) -> bool:
    """Tell whether the API answers that it is ready."""
    try:
        return up.call("GET", "/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def read_until(terminal: int, words: str | None) -> str:
    """Read what a terminal shows until words have come, or to its end."""
    shown = ""
    while words is None or words not in shown:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # that is how Linux says that nobody holds the other end any more
            break
        if not piece:
            break
        shown += piece.decode(errors="replace")
    assert words is None or words in shown, shown
    return shown
