"""Text as every database takes it."""


def storable(text: str) -> str:
    """Put marks in place of what some database refuses: NUL and lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
