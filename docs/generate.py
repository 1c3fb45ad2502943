"""Writes the parts of the documentation that come from the code; with `--check` it only says which ones are out of date.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->` in a page under docs/; all around it is
written by hand. NAME is one of PARTS in parts.py.
"""

# ruff: noqa: INP001 - a script, not a package

import argparse
import difflib
import re
import sys
from pathlib import Path

from parts import PARTS

ROOT = Path(__file__).parents[1]
_PART = re.compile(r"(<!-- generated: ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Write or check all pages; the exit status is 1 when a check finds one that is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, show what would change")
    only_check = parser.parse_args().check
    # Run by its path, Python looks for modules beside this file and not in the folder above.
    sys.path.insert(0, str(ROOT))
    stale = 0
    for page in sorted((ROOT / "docs").rglob("*.md")):
        before = page.read_text()
        after = renewed(before)
        if before == after:
            continue
        stale += 1
        name = str(page.relative_to(ROOT))
        if only_check:
            difference = difflib.unified_diff(before.splitlines(), after.splitlines(), name, "generated", n=1, lineterm="")
            sys.stdout.write("\n".join([*difference, ""]))
        else:
            page.write_text(after)
            sys.stdout.write(f"wrote {name}\n")
    if only_check and stale:
        sys.stderr.write(f"{stale} pages are out of date: run `python docs/generate.py`\n")
    return int(only_check and stale > 0)


def renewed(text: str) -> str:
    """Return a page's text with all its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]().strip()}\n\n{part[3]}", text)


if __name__ == "__main__":
    sys.exit(main())
