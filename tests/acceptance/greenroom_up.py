"""`greenroom up` as a process of its own, for tests that watch it from outside as an operator would."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

PATIENCE_SECONDS = 40.0
KEY = "an-operator-chose-7Zq9XwL2mB4v-this"

# Job types of the tests' own: one that is done at once, one that fails, and one that waits for a file to appear.
JOBS = """
import pathlib, time
from actors.job import JobContext, Permanent, job

@job("tests.echo", payload=dict, result=dict)
def echo(context: JobContext, payload: dict) -> dict:
    return payload

@job("tests.fail", payload=dict, result=dict)
def fail(context: JobContext, payload: dict) -> dict:
    raise Permanent("no good: " + payload.get("why", "it is not"))

@job("tests.until", payload=dict, result=dict, time_limit_seconds=60)
def until(context: JobContext, payload: dict) -> dict:
    pathlib.Path(payload["started"]).touch()
    while not pathlib.Path(payload["file"]).exists():
        time.sleep(0.01)
        context.check()
    return {"worker_lived": True}
"""


class Operator:
    """A client of an installation on this machine, with the operator's key.

    :param port: where its API listens.
    """

    # By which GREENROOM_ settings a command on this machine finds the database.
    database_settings: dict[str, str]

    def __init__(self, port: int) -> None:
        self.port = port

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request as the operator."""
        return self.as_(KEY, method, path, **options)

    def as_(self, key: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request with a key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=70, **options)

    def submit(self, type: str, **payload: Any) -> str:
        """Submit a job and give its id."""
        answer = self.call("POST", "/api/v1/jobs", json={"type": type, "payload": payload})
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and give it."""
        answer = self.call("GET", f"/api/v1/jobs/{job_id}?wait=60")
        job: dict[str, Any] = answer.json()
        return job


class Up(Operator):
    """One `greenroom up` with a folder, a port and job types of its own.

    :param folder: where its data, its module of job types and nothing else lie.
    :param path: a further folder of modules and installed packages.
    :param settings: further GREENROOM_ settings, without the prefix; an empty one is left out.
    """

    def __init__(self, folder: Path, path: Path | None = None, /, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "stage_jobs.py").write_text(JOBS)
        self.folder = folder
        super().__init__(int(settings.get("PORT", 0)) or free_port())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM_")}
        self.database_settings = {"GREENROOM_DATA_DIR": str(folder / "var")}
        wishes = {"DATA_DIR": str(folder / "var"), "PORT": str(self.port), "ADMIN_KEY": KEY, "ACTORS": "stage_jobs"}
        environment |= {f"GREENROOM_{name}": value for name, value in (wishes | settings).items() if value}
        environment |= {"PYTHONPATH": os.pathsep.join(map(str, filter(None, [folder, path]))), "PYTHONDONTWRITEBYTECODE": "1"}
        self._known: list[int] = []
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from api.cli import main; main()", "up"],
            cwd=folder, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it and its children have printed so far."""
        with self._more:
            return "".join(self._lines)

    def wait_for(self, words: str, *, times: int = 1) -> None:
        """Wait until words have been printed so many times."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._more:
            while sum(words in line for line in self._lines) < times:
                left = deadline - time.monotonic()
                is_over = not self._reader.is_alive()
                assert left > 0 and not is_over, f"not printed {times} times: {words!r}\n{''.join(self._lines)}"  # noqa: PT018
                self._more.wait(min(left, 1.0))

    def ended(self) -> int:
        """Wait for its end, and for that of all who hold its output.

        :returns: its exit code.
        """
        code = self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        assert not self._reader.is_alive(), f"somebody still holds the output:\n{self.output}"
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._known = descendants(self.pid)
        self._process.send_signal(number)

    def close(self) -> None:
        """End it and all that it started, whatever they do."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
        for pid in [self.pid, *self._known]:
            if title(pid).startswith(("greenroom", "dramatiq", sys.executable)):  # and not whoever has the number by now
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        if not self._reader.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()

    def workers(self) -> list[int]:
        """List the worker processes that have started: the only child of each Dramatiq master."""
        masters = [pid for pid in children(self.pid) if "dramatiq" in title(pid)]
        return [worker for master in masters for worker in children(master)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """List the logged events of a name."""
        found = []
        for line in self.output.splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event.get("event") == name:
                    found.append(event)
        return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


def children(pid: int) -> list[int]:
    """List a process's children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """List a process's children, their children and so on."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def title(pid: int) -> str:
    """Read what the lists of processes show for a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Tell whether there is such a process, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
