"""Commands: they end with whoever started them, and write no more than they may."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.scans.commands import CommandTimeoutError, run
from tests.waiting import until

ENVIRONMENT = {"PATH": os.defpath}


def test_output_and_status(tmp_path: Path) -> None:
    """What a command writes, how it ends and what it says of it come back; of a long output only the first part."""
    done = run(["/bin/sh", "-c", "echo out; echo no >&2; exit 3"], **where(tmp_path))
    assert (done.status, done.output, done.said) == (3, b"out\n", "no\n")
    long = run(["/bin/sh", "-c", "while :; do echo out; done"], **where(tmp_path) | {"most_bytes": 10})  # type: ignore[arg-type]
    assert (long.status, long.output) == (None, b"out\nout\nou")


@pytest.mark.parametrize("most_file_bytes", [None, 1000])
def test_a_time_limit(tmp_path: Path, most_file_bytes: int | None) -> None:
    """One that does not end is ended, on a leash or not."""
    with pytest.raises(CommandTimeoutError):
        run(["/bin/sleep", "60"], **where(tmp_path) | {"seconds": 0.3}, most_file_bytes=most_file_bytes)  # type: ignore[arg-type]


def test_no_file_grows_too_large(tmp_path: Path) -> None:
    """A command on a leash is stopped when a file outgrows its limit, its children's files as well."""
    done = run(["/bin/sh", "-c", "head -c 9000 /dev/zero > large"], **where(tmp_path), most_file_bytes=5000)
    assert done.status != 0
    assert (tmp_path / "large").stat().st_size == 5000


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such limit for another process")
@pytest.mark.parametrize("most_file_bytes", [None, 1000])
def test_no_memory_without_end(tmp_path: Path, most_file_bytes: int | None) -> None:
    """A command gets no more memory than it may have, its children neither."""
    asked = f"{sys.executable} -c 'bytearray(2**29)'"
    limits = where(tmp_path) | {"most_memory_bytes": 2**28}
    done = run(["/bin/sh", "-c", f"{asked} || exit 3"], **limits, most_file_bytes=most_file_bytes)  # type: ignore[arg-type]
    assert done.status == 3
    assert "MemoryError" in done.said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_worker_leaves_no_command_behind(tmp_path: Path) -> None:
    """After kill -9 of the process that started it a command that waits for a server is ended, and what it has started."""
    root, pid_file = Path(__file__).parents[4], tmp_path / "pid"
    code = f"""
from actors.scans.commands import run
run(["/bin/sh", "-c", "sleep 60 & echo $! > {pid_file}; wait"], environment={ENVIRONMENT}, folder={str(tmp_path)!r},
    seconds=60, most_bytes=1, check=lambda: None, most_memory_bytes=2**30, most_file_bytes=1000)
"""
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "command", seconds=60)
        pid = int(pid_file.read_text())
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    until(lambda: not is_alive(pid), "end of the command")


def where(folder: Path) -> dict[str, object]:
    """Give the least that a command needs."""
    limits = {"seconds": 30.0, "most_bytes": 1000, "most_memory_bytes": 2**30}
    return {"environment": ENVIRONMENT, "folder": str(folder), "check": lambda: None, **limits}


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
