"""S50: a release other than the locked one is not installed, and none younger than a week gets into the locks."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = ("requirements.txt", "requirements-dev.txt")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project whose only requirement is a wheel of our own, beside Greenroom's Makefile."""
    wheel = tmp_path / "wheels" / "curtain-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("curtain.py", "OPEN = True\n")
        archive.writestr("curtain-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: curtain\nVersion: 1.0\n")
        archive.writestr("curtain-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("curtain-1.0.dist-info/RECORD", "")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"curtain==1.0 --hash=sha256:{digest}\n")
    return tmp_path


def test_a_tampered_release_is_refused(clone: Path) -> None:
    """`make setup` fails when a file is not the one that was locked, and installs nothing of it."""
    # given
    with (clone / "wheels" / "curtain-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"\0")
    # when
    setup = make_setup(clone)
    # then
    assert setup.returncode != 0
    assert "DO NOT MATCH THE HASHES" in setup.stdout
    assert not installed(clone)


def test_the_locked_release_is_installed(clone: Path) -> None:
    """The same set-up takes the file that was locked: it is the hash that made the difference."""
    make_setup(clone)
    assert installed(clone)


def test_a_release_without_a_hash_is_refused(clone: Path) -> None:
    """`make setup` fails when a lock names a release without its hash."""
    (clone / "requirements.txt").write_text("curtain==1.0\n")
    setup = make_setup(clone)
    assert setup.returncode != 0
    assert "require-hashes" in setup.stdout
    assert not installed(clone)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_complete_and_name_no_address(lock: str) -> None:
    """Every line of a lock is an exact version with hashes, and no registry's address stands in it."""
    text = (ROOT / lock).read_text()
    releases = re.findall(r"(?m)^[a-zA-Z0-9].*(?:\n +--hash=.*)*", text)
    assert releases
    locked = re.compile(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
    assert [release for release in releases if not locked.match(release)] == []
    assert "://" not in text


def test_young_releases_are_left_out() -> None:
    """`make lock` takes no release younger than seven days."""
    commands = subprocess.run(
        ["make", "--dry-run", "--always-make", "lock"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    compiles = [line for line in commands.stdout.splitlines() if "pip compile" in line]
    assert len(compiles) == len(LOCKS)
    assert [line for line in compiles if "--exclude-newer '7 days'" not in line] == []


def make_setup(clone: Path) -> subprocess.CompletedProcess[str]:
    """Run `make setup` with no other source of packages than the clone's folder."""
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(clone / "wheels"),
        "PIP_CONFIG_FILE": os.devnull,
        "MAKEFLAGS": "",  # those of the `make test` around us
    }
    return subprocess.run(
        ["make", "setup", f"PYTHON={sys.executable}"],
        cwd=clone, env=os.environ | offline, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def installed(clone: Path) -> bool:
    """Tell whether the wheel's module is in the clone's environment."""
    return bool(list(clone.glob(".venv/lib/python*/site-packages/curtain.py")))
