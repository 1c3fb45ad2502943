"""The documentation's pages as tests see them: blocks of code, headings and links."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(page: Path, language: str, *, section: str = "") -> list[str]:
    """List a page's blocks of a language in their order.

    :param section: only those between the heading that begins with this and the next one of its level.
    """
    text = page.read_text()
    if section:
        text = text.partition(f"\n## {section}")[2].partition("\n## ")[0]
    found = [textwrap.dedent(code) for _, kind, code in _BLOCK.findall(text) if kind == language]
    assert found, f"{page.name} has no {language} under {section!r}"
    return found


def is_run(page: Path) -> bool:
    """Tell whether a page shows commands or Python, which a test has to run."""
    return any(language in {"sh", "python"} for _, language, _ in _BLOCK.findall(page.read_text()))


def write_modules(page: Path, folder: Path) -> list[Path]:
    """Write a page's Python and TOML to the files that its first lines name, as a reader would.

    :returns: the files.
    """
    files = []
    for name, code in shown_files(page).items():
        file = folder / name
        file.write_text(code)
        files.append(file)
    return files


def shown_files(page: Path) -> dict[str, str]:
    """Give the Python and TOML of a page by the path that each block's first line names; that line is left out."""
    named = [code.partition("\n") for _, language, code in _BLOCK.findall(page.read_text()) if language in {"python", "toml"}]
    return {first.removeprefix("# "): code for first, _, code in named if first.startswith("# ")}


def dead_links(page: Path) -> list[str]:
    """List a page's links to files and headings of the repository that are not there."""
    dead = []
    for link in _LINK.findall(_BLOCK.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def anchors(page: Path) -> set[str]:
    """List the words by which a page's headings can be linked to."""
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in _HEADING.findall(page.read_text())}
