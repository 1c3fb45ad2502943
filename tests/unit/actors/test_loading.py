"""Loading: where job types come from, in a process of their own, for they are loaded when `actors` is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOW = "import json, actors; print(json.dumps([t.name for t in actors.REGISTRY.types()]))"
MODULE = """
from actors.job import job

@job("extra.echo")
def echo(context, request):
    return request
"""


def run(tmp_path: Path, code: str = SHOW, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a folder of further modules."""
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    known = {name: value for name, value in os.environ.items() if not name.startswith("GREENROOM_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=known | environment | {"PYTHONPATH": path},
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip


def test_what_comes_along_and_what_a_setting_names(tmp_path: Path) -> None:
    """The modules of this folder, and those in GREENROOM_ACTORS; nothing is opened or written by that."""
    (tmp_path / "my_jobs.py").write_text(MODULE)
    done = run(tmp_path, GREENROOM_ACTORS=" my_jobs ,")
    names = json.loads(done.stdout)
    assert "extra.echo" in names
    assert "documents.extract" in names
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["my_jobs.py"]


def test_what_an_installed_package_brings(tmp_path: Path) -> None:
    """Packages add theirs with the entry point group."""
    (tmp_path / "their_jobs.py").write_text(MODULE)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[greenroom.actors]\njobs = their_jobs\n")
    assert "extra.echo" in json.loads(run(tmp_path).stdout)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GREENROOM_ACTORS": "no_such_jobs"}, "greenroom: GREENROOM_ACTORS: there is no module 'no_such_jobs'"),
        ({"GREENROOM_BROKER_URL": "nonsense"}, "greenroom: GREENROOM_BROKER_URL: needs to start with"),
        ({"GREENROOM_MAX_ATTEMPTS": "0"}, "greenroom: GREENROOM_MAX_ATTEMPTS: "),
        ({"GREENROOM_DATABASE_URL": "mysql://x"}, "greenroom: GREENROOM_DATABASE_URL: needs to start with"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    """A worker with a bad setting ends with a line that names it, and no traceback."""
    done = run(tmp_path, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
