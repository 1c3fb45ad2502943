"""Ids: UUIDv7, so that they sort by age and their index grows at one end."""

from uuid import UUID

import uuid_utils


def new_id() -> str:
    """Make a UUIDv7 as text, rising within one process."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Tell whether the text is a UUID in its canonical form, the only one that is ever stored."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
