"""Vectors: what a pull request says, as two MinHash sketches, of its title and of the lines that it changes.

The share of places in which two sketches agree is an estimate of how much of the words, or lines, two pull requests have in
common (their Jaccard similarity). The same text gives the same vector, on every machine.
"""

import re
from typing import Any, NamedTuple

import msgspec

_TITLE_PLACES = 64
_DIFF_PLACES = 128
_SEED = 1
_MOST_TOKENS = 4_000
_WORD = re.compile(r"[^\W_]+")
_SPACES = re.compile(r"\s+")
# The lines of a diff that are about the file and not in it.
_ABOUT = ("@@", "index ", "diff --git ", "old mode ", "new mode ", "similarity ", "+++ ", "--- ")

# How much the two sides count where both have something to say.
_TITLE_WEIGHT, _DIFF_WEIGHT = 0.3, 0.7


class Vector(NamedTuple):
    """The sketches of one pull request; None where it says nothing."""

    title: Any
    diff: Any

    def similarity(self, other: "Vector") -> float:
        """Estimate how much two pull requests have in common, from 0 to 1."""
        title = _similarity(self.title, other.title)
        if self.diff is None and other.diff is None:
            return title
        return _TITLE_WEIGHT * title + _DIFF_WEIGHT * _similarity(self.diff, other.diff)


def embed(title: str, diff: bytes) -> bytes:
    """Make the vector of a pull request, in the form in which it is stored."""
    return msgspec.msgpack.encode((_sketch(_words(title), _TITLE_PLACES), _sketch(_lines(diff), _DIFF_PLACES)))


def decode(stored: bytes) -> Vector:
    """Read a stored vector."""
    title, diff = msgspec.msgpack.decode(stored, type=tuple[bytes | None, bytes | None])
    return Vector(_restored(title, _TITLE_PLACES), _restored(diff, _DIFF_PLACES))


def index() -> Any:
    """Make an index that names, for the sketch of a diff, those that may be like it.

    With two places a band it misses one in 100,000 of the pairs that have 43 in 100 lines in common, the fewest with which two
    pull requests can be grouped.
    """
    from rensa import RMinHashLSH

    return RMinHashLSH(threshold=0.4, num_perm=_DIFF_PLACES, num_bands=_DIFF_PLACES // 2)


def title_index() -> Any:
    """Make such an index for the sketches of titles."""
    from rensa import RMinHashLSH

    return RMinHashLSH(threshold=0.5, num_perm=_TITLE_PLACES, num_bands=_TITLE_PLACES // 2)


def _sketch(tokens: list[str], places: int) -> bytes | None:
    from rensa import RMinHash

    if not tokens:
        return None
    sketch = RMinHash(num_perm=places, seed=_SEED)
    sketch.update(tokens)
    state: bytes = sketch.__getstate__()
    return state


def _restored(state: bytes | None, places: int) -> Any:
    from rensa import RMinHash

    if state is None:
        return None
    sketch = RMinHash(num_perm=places, seed=_SEED)
    sketch.__setstate__(state)
    return sketch


def _similarity(one: Any, other: Any) -> float:
    return 0.0 if one is None or other is None else float(one.jaccard(other))


def _words(title: str) -> list[str]:
    return sorted(set(_WORD.findall(title.casefold())))


def _lines(diff: bytes) -> list[str]:
    """Take the changed lines and the names of files out of a diff, whatever their spaces."""
    found: dict[str, None] = {}
    for line in diff.decode(errors="replace").splitlines():
        if line.startswith(("+++ ", "Binary files ")):
            found[line] = None
        elif line.startswith(("+", "-")) and not line.startswith(_ABOUT):
            text = line[0] + _SPACES.sub(" ", line[1:]).strip()
            if len(text) > 1:
                found[text] = None
        if len(found) >= _MOST_TOKENS:
            break
    return sorted(found)
