"""The pages' files: they find each other, need nothing from elsewhere, and have no way to turn a text into markup."""

import re
from pathlib import Path, PurePosixPath

import pytest

from api.web import assets, pages

FOLDER = Path(assets.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".html", ".js", ".css", ".svg"})
NAMES = {path.relative_to(FOLDER / "assets").as_posix() for path in FILES if path.suffix != ".html"}
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
# What makes markup, code or styles out of text; the policy forbids it, and nothing here relies on being told so.
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|srcdoc|createContextualFragment"
)
STORES = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.")
ELSEWHERE = re.compile(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", re.IGNORECASE)


def test_there_are_files() -> None:
    """The rules below look at the pages' files."""
    assert len(SCRIPTS) > 10
    assert {path.suffix for path in FILES} == {".html", ".js", ".css", ".svg"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_modules_find_each_other(path: Path) -> None:
    """What a module imports is a file of ours that exports it under that name."""
    for names, source in re.findall(r"import \{([^}]*)\} from \"([^\"]+)\";", path.read_text()):
        found = (path.parent / source).resolve()
        assert found in SCRIPTS
        for name in filter(None, map(str.strip, names.split(","))):
            assert re.search(rf"export (async )?(function|class|const) {name}\b", found.read_text()), (name, source)
    assert len(re.findall(r"^import ", path.read_text(), re.MULTILINE)) == path.read_text().count(' from "')


def test_the_page_names_files_that_are_there() -> None:
    """Every style, script and icon of the page is served under the address that it is asked for."""
    asked = re.findall(r"(?:href|src)=\"/assets/([0-9a-f]+)/([^\"]+)\"", pages.BOOKS.decode())
    assert len(asked) > 5
    assert {version for version, _ in asked} == {assets.VERSION}
    assert {name for _, name in asked} <= NAMES
    assert "{assets}" not in pages.BOOKS.decode()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    """No file names another host, keeps anything in the browser, or has a way from text to markup or code."""
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert ELSEWHERE.findall(text) == []
    assert SINKS.findall(text) == []
    assert STORES.findall(text) == []
    if path.suffix == ".html":
        assert re.findall(r"<style|<script>|\sstyle=|\son[a-z]+=", text) == []


def test_files_are_small() -> None:
    """Scripts and styles keep to the length of every other file, and their lines to theirs."""
    for path in FILES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 300
        if path.suffix == ".js":
            assert max(map(len, lines)) <= 140, (path.name, max(lines, key=len))


def test_an_address_says_nothing_of_the_machine() -> None:
    """Only what was found at the start is served, by its own name: no address leads out of the folder."""
    assert set(assets._CONTENTS) == NAMES
    assert all(not PurePosixPath(name).is_absolute() and ".." not in name for name in NAMES)
