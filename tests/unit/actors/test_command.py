"""Commands as workers of jobs, with real processes: what goes in and out, how they fail, and that nothing of them is left."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception

from actors import command as commands
from actors.command import CommandFailedError, CommandOutputError, CommandTimeoutError, run_command
from actors.job import JobContext
from middleware.errors import Cancelled, Retryable
from tests.acceptance.greenroom_up import is_running
from tests.families import FAMILY, assert_gone, family, python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ECHO = "import json, sys; json.dump({'got': json.load(sys.stdin)}, sys.stdout)"


class Answer(msgspec.Struct):
    """A result."""

    got: dict[str, int]


def test_json_goes_in_and_comes_out() -> None:
    """The request arrives on standard input, and what is printed is the result, of its type if there is one."""
    job = JobContext.for_test()
    assert run_command(python(ECHO), {"n": 1}, job) == {"got": {"n": 1}}
    assert run_command(python(ECHO), {"n": 1}, job, result=Answer) == Answer({"n": 1})
    large = ["x" * 1_000] * 5_000
    assert run_command(python(ECHO), large, job) == {"got": large}


def test_d12_standard_error_is_kept() -> None:
    """D12: a command that fails says so with its status and the end of what it wrote to standard error."""
    code = "import sys; sys.stderr.write('x' * 100_000 + 'no such report'); sys.exit(3)"
    with pytest.raises(CommandFailedError, match=r"(?s)^the command ended with status 3\n.*no such report$") as failed:
        run_command(python(code), {}, JobContext.for_test())
    assert isinstance(failed.value, Retryable)
    assert (failed.value.status, len(failed.value.stderr)) == (3, 2_000)


def test_a_command_that_crashes() -> None:
    """A signal is named."""
    with pytest.raises(CommandFailedError, match="the command was ended by SIGSEGV") as failed:
        run_command(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), {}, JobContext.for_test())
    assert failed.value.status == -signal.SIGSEGV


def test_a_command_that_does_not_exist() -> None:
    """As in a shell it is status 127, and says what is missing."""
    with pytest.raises(CommandFailedError, match=r"(?s)status 127.*/no/such/program: No such file"):
        run_command(["/no/such/program"], {}, JobContext.for_test())


@pytest.mark.parametrize(("code", "said"), [("print('done')", "malformed"), ("", "truncated"), ("print(1)", "Expected `object`")])
def test_output_that_is_no_result(code: str, said: str) -> None:
    """What is no JSON, or not of the type, is an error that says so."""
    with pytest.raises(CommandOutputError, match=said):
        run_command(python(code), {}, JobContext.for_test(), result=Answer)


def test_output_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that prints on and on is ended before it fills the memory."""
    monkeypatch.setattr(commands, "_OUTPUT_BYTES", 1_000_000)
    with pytest.raises(CommandOutputError, match="more than 1000000 bytes"):
        run_command(["yes"], {}, JobContext.for_test())


def test_d12_the_time_limit_ends_all_of_it(tmp_path: Path) -> None:
    """D12: when the time is over, the command, its children and their daemon are gone, and the error has its last words."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            run_command(python(FAMILY, tmp_path), {}, JobContext.for_test(), time_limit_seconds=3)
        except CommandTimeoutError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pids = family(tmp_path)
    thread.join(30)
    assert [str(error) for error in caught] == ["the command took longer than 3 seconds\nso far so good"]
    assert not any(map(is_running, pids))


@pytest.mark.parametrize("way", ["check", "interrupt"])
def test_d12_a_cancelled_job_ends_all_of_it(tmp_path: Path, way: str) -> None:
    """D12: whether the look at the job or an interrupt ends the wait, nothing of the command is left."""
    job = JobContext.for_test()
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            run_command(python(FAMILY, tmp_path), {}, job)
        except Interrupt as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    pids = family(tmp_path)
    assert thread.ident is not None
    if way == "check":
        job.cancel()
    else:
        raise_thread_exception(thread.ident, Cancelled)  # type: ignore[no-untyped-call]
    thread.join(30)
    assert ended == [Cancelled]
    assert not any(map(is_running, pids))


def test_what_outlives_its_command_is_ended(tmp_path: Path) -> None:
    """A result does not wait for what the command leaves running, and that does not go on."""
    code = FAMILY.rpartition("time.sleep")[0] + (
        "import json\n"
        "while len(list(folder.iterdir())) < 3:\n    time.sleep(0.01)\n"
        "print(json.dumps(sorted(path.name for path in folder.iterdir())))\n"
    )
    assert run_command(python(code, tmp_path), {}, JobContext.for_test()) == ["child", "command", "daemon"]
    assert not any(map(is_running, family(tmp_path)))


def test_a_killed_worker_takes_its_commands_along(tmp_path: Path) -> None:
    """A worker that is killed outright leaves nothing running."""
    code = (
        "import sys\nfrom actors.command import run_command\nfrom actors.job import JobContext\n"
        "run_command([sys.executable, '-I', '-c', sys.argv[1], sys.argv[2]], {}, JobContext.for_test())"
    )
    known = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM_")}
    environment = known | {"GREENROOM_DATA_DIR": str(tmp_path / "var")}
    folder = tmp_path / "family"
    folder.mkdir()
    worker = subprocess.Popen([sys.executable, "-c", code, FAMILY, str(folder)], env=environment)
    try:
        pids = family(folder)
    finally:
        worker.kill()
        worker.wait()
    assert_gone(pids)


def test_a_killed_guard(tmp_path: Path) -> None:
    """Whoever kills the guard gets an error at once, and the command ends with it all the same."""
    code = (
        "import os, pathlib, signal, sys, time\n"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGKILL)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(CommandFailedError, match="the command was killed"):
        run_command(python(code, tmp_path / "pid"), {}, JobContext.for_test(), time_limit_seconds=120)
    assert_gone([int((tmp_path / "pid").read_text())])


def test_what_a_command_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the worker's environment it gets what it needs to find its way, no setting and no key, and what its author names."""
    monkeypatch.setenv("GREENROOM_LLM_API_KEY", "sk-hidden")
    monkeypatch.setenv("SOMEBODYS_TOKEN", "hidden")
    code = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), sorted(map(int, os.listdir('/proc/self/fd')))]))"
    seen: Any = run_command(python(code), {}, JobContext.for_test(), environment={"MODE": "fast"}, folder=tmp_path)
    assert seen[0]["PATH"] == os.environ["PATH"]
    assert seen[0]["MODE"] == "fast"
    assert "hidden" not in str(seen[0])
    assert seen[1] == str(tmp_path)
    assert seen[2][:3] == [0, 1, 2]
    assert len(seen[2]) == 4, "none but the three, and the one that lists them"
