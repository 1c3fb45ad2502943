"""Payloads and results: from a caller's JSON to a function's types and back, for msgspec, dataclasses and pydantic."""

from collections.abc import Callable
from typing import Any

import msgspec

from persistence.errors import ValidationError

_NUL = b"\\u0000"


class PayloadType:
    """One side of a job type's contract.

    :param kind: a msgspec Struct, a dataclass, a pydantic model or any type that msgspec knows; None for any object.
    """

    def __init__(self, kind: Any) -> None:
        self.kind: Any = dict[str, Any] if kind is None else kind
        self._is_pydantic = hasattr(self.kind, "model_validate")
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if not self._is_pydantic:
            self._decoder = msgspec.json.Decoder(self.kind)

    def validate(self, payload: Any) -> str:
        """Check a payload and return the JSON text to store, with the type's defaults filled in.

        :param payload: what a JSON body holds, already decoded, or the type itself.
        :raises ValidationError: names the field that is wrong.
        """
        return self._checked(lambda: self._convert(payload))

    def validate_json(self, text: bytes | msgspec.Raw) -> str:
        """Check a payload that is still JSON text; see `validate`."""
        return self._checked(lambda: self.decode(text))

    def decode(self, text: bytes | str | msgspec.Raw) -> Any:
        """Turn stored JSON text into the type."""
        if self._decoder is None:
            return self.kind.model_validate_json(bytes(text) if isinstance(text, msgspec.Raw) else text)
        return self._decoder.decode(text)

    def encode(self, value: Any) -> bytes:
        """Turn a value of the type into JSON text.

        :raises TypeError: it is no such value.
        """
        if hasattr(value, "model_dump_json"):
            encoded: bytes = value.model_dump_json().encode()
            return encoded
        return msgspec.json.encode(value)

    def schema(self) -> dict[str, Any]:
        """Describe the type as JSON Schema."""
        if self._is_pydantic:
            described: dict[str, Any] = self.kind.model_json_schema()
            return described
        return msgspec.json.schema(self.kind)

    def _convert(self, payload: Any) -> Any:
        if self._is_pydantic:
            return self.kind.model_validate(payload)
        if isinstance(self.kind, type) and isinstance(payload, self.kind):
            # A struct's constructor checks nothing: what was built in Python is held to the same rules as a body.
            payload = msgspec.to_builtins(payload)
        return msgspec.convert(payload, self.kind)

    def _checked(self, read: Callable[[], Any]) -> str:
        try:
            encoded = self.encode(read())
        except msgspec.ValidationError as error:
            raise ValidationError(f"payload: {error}", field=_field_of(str(error))) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, OverflowError) as error:
            raise ValidationError(f"payload: {error}", field="payload") from None
        except ValueError as error:  # pydantic's ValidationError is one
            raise ValidationError(*_pydantic_message(error)) from None
        if _NUL in encoded and _has_nul(msgspec.json.decode(encoded)):
            raise ValidationError("payload: text may not contain NUL characters", field="payload")
        return encoded.decode()


def _field_of(message: str) -> str:
    """Take the path out of msgspec's message: 'Expected `int`, got `str` - at `$.pages`'."""
    _, separator, path = message.rpartition(" - at `$")
    return "payload" + path.rstrip("`") if separator else "payload"


def _pydantic_message(error: ValueError) -> tuple[str]:
    details = getattr(error, "errors", None)
    if details is None:
        return (f"payload: {error}",)
    first = details(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return (f"payload.{path}: {first['msg']}" if path else f"payload: {first['msg']}",)


def _has_nul(value: Any) -> bool:
    match value:
        case str():
            return "\x00" in value
        case dict():
            return any("\x00" in key or _has_nul(item) for key, item in value.items())
        case list():
            return any(_has_nul(item) for item in value)
    return False
