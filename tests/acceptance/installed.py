"""Packages of job types that are really built and installed, each into a folder of its own, with nothing fetched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.acceptance.pages import ROOT

EXAMPLE = ROOT / "tests" / "examples" / "box-office"

_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "2.5"

[project.entry-points."greenroom.actors"]
jobs = "{module}"
"""


def installed(package: Path, place: Path) -> Path:
    """Install a package into a folder that can be put on Python's path.

    :param package: the folder of its pyproject.toml; it is copied first, for building writes into it.
    :param place: where the copy and the installed package go.
    :returns: the folder.
    """
    copy, site = place / package.name, place / "site"
    if package != copy:
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    # As `make setup` installs Greenroom itself: with the builder that the lock holds, and no index.
    install += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(copy)]
    done = subprocess.run(install, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def made(place: Path, code: str, *, name: str = "stalls", module: str = "stalls.jobs") -> Path:
    """Make a package with one module of job types and install it.

    :param module: what its entry point names.
    """
    folder = place / name
    (folder / name).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PROJECT.format(name=name, module=module))
    (folder / name / "__init__.py").touch()
    (folder / name / "jobs.py").write_text(code)
    return installed(folder, place)
