"""Families: a command that starts children, one of which tries to get away, for tests that see all of them end."""

import sys
from pathlib import Path

from tests.acceptance.greenroom_up import is_running
from tests.waiting import until

# A child that has a child of its own in another session, whose parent then goes: as daemons do.
FAMILY = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
def note(name):
    (folder / name).write_text(str(os.getpid()))
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note("daemon")
        time.sleep(600)
    os._exit(0)
if os.fork() == 0:
    note("child")
    time.sleep(600)
note("command")
sys.stderr.write("so far so good")
sys.stderr.flush()
time.sleep(600)
"""


def python(code: str, *arguments: object) -> list[str]:
    """Make a command of Python code."""
    return [sys.executable, "-I", "-c", code, *map(str, arguments)]


def family(folder: Path) -> list[int]:
    """Wait for the family and give its members' ids."""
    names = ("command", "child", "daemon")

    def met() -> list[int]:
        texts = [(folder / name).read_text() for name in names if (folder / name).exists()]
        return [int(text) for text in texts if text] if len(texts) == len(names) and all(texts) else []

    return until(met, "family", seconds=30)


def assert_gone(pids: list[int]) -> None:
    """See that none of them is left."""
    until(lambda: not any(map(is_running, pids)), "end of the family", seconds=30)
