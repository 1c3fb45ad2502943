"""Key phrases by YAKE (Campos et al., 2020, doi:10.1016/j.ins.2019.09.013), which needs no trained model."""

from collections.abc import Sequence

from yake_rust import Yake

from actors.documents.reading.text import clean

_WORDS = 3
_LONGEST = 120
_TEXT = 400_000  # characters; of a longer book, every second, third … page
# The languages whose stop words YAKE has; it panics when asked for another.
# fmt: off
_STOPWORDS = frozenset([
    "ar", "bg", "br", "cz", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "hi", "hr", "hu",
    "hy", "id", "it", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk",
])
# fmt: on
_NAMED_OTHERWISE = {"cs": "cz", "nb": "no", "nn": "no", "ms": "id"}
_WITHOUT_SPACES = frozenset({"ja", "km", "lo", "my", "th", "yue", "wuu", "zh"})


def key_phrases(pages: Sequence[str], *, language: str | None, most: int = 12) -> list[str]:
    """Return up to `most` phrases of one to three words, the best first.

    `language`: ISO 639 code; of a language written without spaces there are none.
    """
    if language in _WITHOUT_SPACES:
        return []
    code = _NAMED_OTHERWISE.get(language or "", language)
    yake = Yake(language=code, ngrams=_WORDS) if code in _STOPWORDS else Yake(stopwords=set(), ngrams=_WORDS)
    total = sum(map(len, pages))
    text = "\n".join(pages[:: max(-(-total // _TEXT), 1)])[:_TEXT]
    found: dict[str, str] = {}
    for phrase, _ in yake.get_n_best(text, n=most * 2):
        plain = clean(phrase)
        if any(map(str.isalpha, plain)) and len(plain) <= _LONGEST:
            found.setdefault(plain.casefold(), plain)
    return list(found.values())[:most]
