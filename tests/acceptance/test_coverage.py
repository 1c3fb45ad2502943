"""The page of what Greenroom is asked for is true: every line once, and what it names is there."""

import ast
import re
from functools import cache
from typing import NamedTuple

import pytest

from tests.acceptance.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "coverage.md"
ASKED_FOR = {"A": 12, "B": 5, "C": 9, "D": 16, "E": 10}
# What no request can show: how the code is laid out, and figures, which are measured.
WITHOUT_HTTP = {"A6": "make check", "D16": "make coverage", "E9": "make bench"}

_LINE = re.compile(r"^\| ([A-E]\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
_FILE = re.compile(r"`((?:api|actors|middleware|persistence|benchmarks)/[\w/]*(?:\.py)?)`")
_TARGET = re.compile(r"`make ([\w-]+)`")


class Line(NamedTuple):
    """One line of the page.

    :param shown: the tests that show it.
    """

    id: str
    what: str
    shown: list[tuple[str, str]]
    text: str


def lines() -> list[Line]:
    """Read the page."""
    return [Line(match[1], match[3], _TEST.findall(match[4]), match[4]) for match in _LINE.finditer(PAGE.read_text())]


@cache
def known(path: str) -> frozenset[str]:
    """List the tests of a file; none if there is no such file."""
    file = ROOT / path
    if not file.exists():
        return frozenset()
    return frozenset(one.name for one in ast.parse(file.read_text()).body if isinstance(one, ast.FunctionDef))


def exists(test: tuple[str, str]) -> bool:
    """Tell whether there is a test."""
    path, name = test
    return name in known(path)


def test_every_line_is_there_once() -> None:
    """All that is asked for has its line, in its order, and nothing has two."""
    asked = [f"{letter}{number}" for letter, count in ASKED_FOR.items() for number in range(1, count + 1)]
    assert [line.id for line in lines()] == asked


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.id)
def test_what_a_line_names_is_there(line: Line) -> None:
    """Each test that is named exists, one of them goes through HTTP, and so do the files and commands."""
    assert [test for test in line.shown if not exists(test)] == []
    through_http = any(path.startswith("tests/acceptance/") for path, _ in line.shown)
    assert through_http or f"`{WITHOUT_HTTP.get(line.id)}`" in line.text
    assert [file for file in _FILE.findall(line.what + line.text) if not (ROOT / file).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in _TARGET.findall(line.text) if f"\n{target}:" not in makefile] == []
