"""A package of somebody else's brings a job type: it is installed, and Greenroom offers it and performs it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.greenroom_up import Up
from tests.acceptance.installed import EXAMPLE, installed, made
from tests.acceptance.pages import ROOT, shown_files
from tests.acceptance.test_start_failures import Ended, start

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform == "win32", reason="processes are watched in /proc")]

GUIDE = ROOT / "docs" / "how-to" / "add-a-job-type.md"
TYPE = "box_office.takings"
TAKEN = """
from actors.job import job

@job("{name}")
def work(context, payload):
    return payload
"""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Up]]:
    """Give a function that starts Greenroom beside a folder of modules; the tills export into `exports`."""
    running: list[Up] = []
    (tmp_path / "exports").mkdir()
    monkeypatch.setenv("BOX_OFFICE_EXPORTS", str(tmp_path / "exports"))

    def start_one(path: Path, **settings: str) -> Up:
        wishes = {"WORKER_PROCESSES": "1", "WORKER_THREADS": "2", "SWEEP_SECONDS": "0.5", "BACKOFF_SECONDS": "0.2"}
        running.append(Up(tmp_path / "home", path, **(wishes | settings)))
        running[-1].wait_for("Stop it with Ctrl-C.")
        return running[-1]

    yield start_one
    for one in running:
        one.close()


def test_an_installed_package_is_found(begin: Callable[..., Up], tmp_path: Path) -> None:
    """Nothing but the installation is needed: its types are described, checked, performed, retried and failed as ours are."""
    # given
    home = begin(installed(EXAMPLE, tmp_path), ACTORS="")
    (tmp_path / "exports" / "hamlet.csv").write_text("seat,cents\nA1,4000\nB7,2550\n")
    (tmp_path / "exports" / "faust.csv").write_text("this is not what the tills write")
    # then: the type is described, for people and in the API's own description
    types = {one["name"]: one for one in home.call("GET", "/api/v1/job-types").json()["items"]}
    assert types[TYPE]["retry"] == {"max_attempts": 4, "backoff_seconds": [1.0, 5.0, 30.0]}
    document = home.call("GET", "/schema/openapi.json").json()
    forms = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    (form,) = [form for form in forms if form["properties"]["type"]["const"] == TYPE]
    assert form["properties"]["payload"]["properties"]["name"]["pattern"] == "^[a-z0-9-]{1,60}$"
    # and: its payload is checked at the door
    refused = home.call("POST", "/api/v1/jobs", json={"type": TYPE, "payload": {"name": "../etc/passwd"}})
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (400, "VALIDATION", "payload.name")
    # and: a job has a result, a file, progress and a follow-up
    done = home.finished(home.submit(TYPE, name="hamlet", mail_to="manager"))
    assert (done["status"], done["result"]) == ("completed", {"seats": 2, "cents": 6550, "dearest": "A1"})
    assert done["progress"]["percent"] == 100
    assert [file["name"] for file in done["files"]] == ["report.txt"]
    assert "6550" in home.call("GET", f"/api/v1/jobs/{done['id']}/files/report.txt").text
    (mail,) = home.call("GET", "/api/v1/jobs?type=box_office.mail").json()["items"]
    assert home.finished(mail["id"])["result"] == {"delivered": "hamlet: 2 seats, 6550 cents"}
    # and: what can never succeed fails at once, and is a dead letter
    failed = home.finished(home.submit(TYPE, name="faust"))
    assert (failed["status"], failed["attempt"], failed["error"]["retryable"]) == ("failed", 1, False)
    (letter,) = home.call("GET", f"/api/v1/dead-letters?type={TYPE}").json()["items"]
    assert letter["job"] == failed["id"]


def test_what_may_succeed_later_is_tried_again(begin: Callable[..., Up], tmp_path: Path) -> None:
    """The export comes after the first attempt: the job completes with the next one."""
    home = begin(installed(EXAMPLE, tmp_path), ACTORS="")
    job = home.submit(TYPE, name="hamlet")
    home.wait_for('"attempt.failed"')
    (tmp_path / "exports" / "hamlet.csv").write_text("seat,cents\nA1,4000\n")
    done = home.finished(job)
    assert done["status"] == "completed"
    attempts = home.call("GET", f"/api/v1/jobs/{job}/attempts").json()["items"]
    assert {one["status"]: one["attempt"] for one in attempts} == {"failed": len(attempts) - 1, "completed": len(attempts)}
    assert attempts[0]["error"]["retryable"]
    assert attempts[0]["error"]["message"] == "the tills have not exported hamlet yet"


def test_a_setting_names_a_module(begin: Callable[..., Up], tmp_path: Path) -> None:
    """A module that is only importable, and installed nowhere, is named by GREENROOM_ACTORS."""
    (tmp_path / "exports" / "hamlet.csv").write_text("seat,cents\nA1,4000\n")
    home = begin(EXAMPLE, ACTORS="box_office.jobs")
    assert home.finished(home.submit(TYPE, name="hamlet"))["result"]["cents"] == 4000


def test_the_examples_own_tests(tmp_path: Path) -> None:
    """Its functions run by a direct call, as its author tests them."""
    site = installed(EXAMPLE, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / EXAMPLE.name)],
        env=os.environ | {"PYTHONPATH": f"{site}:{ROOT}"}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_the_guide_shows_the_example() -> None:
    """All files of the example package are in the guide as they are, and no others."""
    files = [file for file in EXAMPLE.rglob("*.*") if file.is_file() and "__pycache__" not in file.parts]
    assert shown_files(GUIDE) == {f"../box-office/{file.relative_to(EXAMPLE).as_posix()}": file.read_text() for file in files}


BROKEN = [
    pytest.param("import no_such_library\n", "stalls.jobs", "there is no module 'no_such_library' ", id="imports-nothing"),
    pytest.param("def work(:\n", "stalls.jobs", "SyntaxError: invalid syntax", id="syntax"),
    pytest.param("\nSEATS = 1 / 0\n", "stalls.jobs", "ZeroDivisionError: .*stalls/jobs.py, line 2", id="raises"),
    pytest.param("", "stalls.nowhere", "there is no module 'stalls.nowhere'$", id="no-module"),
    pytest.param("", "stalls.jobs:work", "AttributeError: .*'work'", id="no-attribute"),
    pytest.param(
        TAKEN.format(name="stalls.sell") * 2, "stalls.jobs",
        "two job types are called 'stalls.sell': one of stalls.jobs and one of stalls.jobs", id="twice-in-it",
    ),
    pytest.param(
        TAKEN.format(name="documents.extract"), "stalls.jobs",
        "two job types are called 'documents.extract': one of actors.documents.jobs and one of stalls.jobs", id="ours",
    ),
]  # fmt: skip


@pytest.mark.parametrize("command", ["up", "worker"])
@pytest.mark.parametrize(("code", "module", "why"), BROKEN)
def test_a_broken_package_is_named_in_a_line(code: str, module: str, why: str, command: str, tmp_path: Path) -> None:
    """What an installed package brings and cannot be used ends each start with one line: which package, and what of it."""
    site = made(tmp_path, code, module=module)
    ended = start(command, tmp_path, PYTHONPATH=f"{site}:{ROOT}")
    said_in_a_line(ended, r"the entry point 'jobs' of stalls 2\.5: ", why)


@pytest.mark.parametrize(("code", "module", "why"), [broken for broken in BROKEN if broken.id != "no-attribute"])
def test_a_broken_module_is_named_in_a_line(code: str, module: str, why: str, tmp_path: Path) -> None:
    """Likewise a module that GREENROOM_ACTORS names."""
    (tmp_path / "stalls").mkdir()
    (tmp_path / "stalls" / "__init__.py").touch()
    (tmp_path / "stalls" / "jobs.py").write_text(code)
    ended = start("worker", tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}", GREENROOM_ACTORS=module)
    said_in_a_line(ended, "GREENROOM_ACTORS: ", why)


def test_two_packages_with_one_name(tmp_path: Path) -> None:
    """Of two packages that want the same name the second is refused, and the line names both."""
    made(tmp_path, TAKEN.format(name="seats.sell"), name="balcony", module="balcony.jobs")
    site = made(tmp_path, TAKEN.format(name="seats.sell"))
    ended = start("up", tmp_path, PYTHONPATH=f"{site}:{ROOT}")
    said_in_a_line(ended, r"the entry point 'jobs' of (stalls|balcony) 2\.5: ", "'seats.sell': one of .*(stalls|balcony).jobs")
    assert "stalls.jobs" in ended.output
    assert "balcony.jobs" in ended.output


def said_in_a_line(ended: Ended, whose: str, why: str) -> None:
    """See to it that one line says whose it is and why, with no traceback."""
    assert ended.code == 1, ended.output
    assert len(ended.lines) == 1, ended.output
    assert re.match(f"greenroom: {whose}", ended.lines[0]), ended.output
    assert re.search(why, ended.lines[0]), ended.output
    assert "Traceback" not in ended.output
