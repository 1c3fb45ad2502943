"""A repository, and a mirror of any."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.scans.git import Mirror
from actors.scans.places import Place
from tests import factories_git

ROOM = 2**30


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A repository with five pull requests."""
    return factories_git.repository(tmp_path / "site.git", factories_git.some_changes())


@pytest.fixture
def open_mirror(tmp_path: Path) -> Callable[..., Mirror]:
    """Give a function that opens a mirror in a folder of its own."""
    number = iter(range(10))

    def open_one(place: Place | Path, *, most_bytes: int = ROOM, check: Callable[[], None] = lambda: None) -> Mirror:
        folder = tmp_path / f"copy{next(number)}"
        folder.mkdir()
        if isinstance(place, Path):
            place = Place(str(place), "file")
        return Mirror(place, folder, most_bytes=most_bytes, check=check)

    return open_one
