"""What a reader can no longer do once it is sealed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
PROGRAM = """
import ctypes, json, os, socket, subprocess, sys
from actors.documents import confinement

listening = int(sys.argv[1])
confinement.confine(memory_bytes=2**29, cpu_seconds=5, output_bytes=1000, parent=os.getppid())
library = ctypes.CDLL(None, use_errno=True)
status = confinement.open_status()
found = {}

def attempt(name, action):
    try:
        found[name] = repr(action())
    except OSError as error:
        found[name] = "refused"

if sys.argv[2] == "unsealed":
    attempt("python socket", lambda: socket.socket().close())
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", listening), timeout=5).close())
else:
    confinement.seal()
    attempt("python socket", socket.socket)
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", listening), timeout=5))
    attempt("resolve", lambda: socket.getaddrinfo("localhost", 80))
    attempt("open", lambda: open("/etc/passwd"))
    attempt("write", lambda: open(sys.argv[3], "w"))
    attempt("pipe", os.pipe)
    attempt("fork", os.fork)
    attempt("system", lambda: os.system("true"))
    attempt("process", lambda: subprocess.run(["/bin/true"]))
    found["native socket"] = library.socket(2, 1, 0)
    found["native open"] = library.open(b"/etc/passwd", 0)
    found["peak"] = confinement.peak_memory(status)
print(json.dumps(found))
"""


def run(listening: int, how: str, file: Path) -> dict[str, object]:
    """Return what a confined process could do."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(listening), how, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_sealed_process_reaches_nothing(tmp_path: Path) -> None:
    """Neither Python nor native code gets a socket, a file, a pipe or a child process."""
    found = run(9, "sealed", tmp_path / "made")

    assert found.pop("native socket") == -1
    assert found.pop("native open") == -1
    assert int(str(found.pop("peak"))) > 1024 * 1024
    assert set(found.values()) == {"refused"}
    assert list(tmp_path.iterdir()) == []


def test_without_the_seal_sockets_can_be_had(tmp_path: Path) -> None:
    """The counter-proof: what refuses them is the seal and nothing about this machine."""
    assert run(9, "unsealed", tmp_path / "made")["python socket"] == "None"


def test_a_reader_whose_parent_is_another_ends() -> None:
    """A worker that died before its reader had asked to die with it is noticed."""
    program = (
        "import os\nfrom actors.documents import confinement\n"
        "confinement.confine(memory_bytes=2**29, cpu_seconds=5, output_bytes=1000, parent=os.getppid() + 1)\n"
        "print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
