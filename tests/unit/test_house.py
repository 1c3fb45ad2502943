"""The house rules that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("persistence", "middleware", "actors", "api")
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}

LONGEST_FILE = 300
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
CLOCKS = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
}
# SQLite has no server: its clock is that of the process that it runs in, and its own function stops at milliseconds.
DATABASE_CLOCK = {"persistence/database.py": {"datetime.datetime.now"}}
# Words that say nothing: what they would hold has a name in the glossary.
DRAWERS = re.compile(r"(?i)(managers?|helpers?|utils?|utilities|common|misc)$")


def names_used(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of everything that a module takes from its imports, by whatever name it was imported."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                imported[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            if head in imported:
                yield f"{imported[head]}.{rest}"


def offences(names: set[str]) -> dict[str, set[str]]:
    """Tell which files use which of these names."""
    used = {name: set(names_used(tree)) & names for name, tree in SOURCES.items()}
    return {name: found for name, found in used.items() if found}


def test_there_are_sources() -> None:
    """The rules below look at the product's files, all four folders of them."""
    assert {name.partition("/")[0] for name in SOURCES} == set(FOLDERS)


def test_the_environment_is_read_in_settings_only() -> None:
    """No file but a folder's settings.py reads the environment."""
    assert {name for name in offences(ENVIRONMENT) if not name.endswith("/settings.py")} == set()


def test_time_comes_from_the_database() -> None:
    """No file reads the clock of its own machine, but for the one that gives SQLite its clock."""
    assert offences(CLOCKS) == DATABASE_CLOCK


def test_files_are_small() -> None:
    """No file is longer than can be read in one sitting, but for migrations, which are history."""
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in SOURCES if "/versions/" not in name}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_names_are_nouns_of_the_glossary() -> None:
    """No file, class or function is a drawer: Manager, Helper, Util, common and their kin."""
    defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    names = [node.name for tree in SOURCES.values() for node in ast.walk(tree) if isinstance(node, defined)]
    names += [part.removesuffix(".py") for name in SOURCES for part in name.split("/")]
    assert [name for name in names if DRAWERS.search(name)] == []
