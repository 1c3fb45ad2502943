"""Bounds of arguments: the same as REST's, said with the same errors."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import strawberry
from strawberry.types.arguments import StrawberryArgumentAnnotation
from strawberry.utils.str_converters import to_camel_case

from api.pages import MOST
from persistence.errors import ValidationError

Struct = TypeVar("Struct", bound=msgspec.Struct)

LIMIT: StrawberryArgumentAnnotation = strawberry.argument(description=f"How many, 1 to {MOST}.")


def page_size(limit: int) -> int:
    """Check how many items are asked for.

    :raises ValidationError: fewer than one or more than a page may have.
    """
    if not 1 <= limit <= MOST:
        raise ValidationError(f"limit: needs to be 1 to {MOST}", field="limit", limit=MOST)
    return limit


def checked(asked: Mapping[str, Any], wanted: type[Struct], *, names: Mapping[str, str] | None = None) -> Struct:
    """Take an input as the body that REST would be sent.

    :param asked: by REST's names; what is None is left out.
    :param names: GraphQL's names of fields where they are not just REST's in camelCase.
    :raises ValidationError: names the field that is wrong.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        return msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        field = (names or {}).get(field) or to_camel_case(field)
        raise ValidationError(f"{field}: {sentence}" if field else sentence, **({"field": field} if field else {})) from error
