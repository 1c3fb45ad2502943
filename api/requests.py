"""Requests: how a body is read, so that neither its type, its size nor its shape can hurt."""

import asyncio
import threading
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import RequestEncodingType
from litestar.handlers import BaseRouteHandler
from litestar.params import BodyKwarg
from litestar.types import Empty

from api.dependencies import Caller
from api.limits import LARGE_BYTES, check_json, check_keys
from persistence.errors import UnsupportedMediaTypeError, ValidationError

# Made to be large, 16 MiB of text become half a gigabyte of objects until they are counted; not of many at once.
_ONE_AT_A_TIME = threading.Lock()


class StrictRequest(Request[Caller, Any, Any]):
    """A request whose JSON is checked and decoded straight into the type that its handler wants."""

    async def json(self) -> Any:
        """Read the body.

        :raises ValidationError: it is no JSON, not of the handler's type, nested too deep, or holds U+0000.
        """
        if self._json is Empty:
            body = await self.body()
            field = self.route_handler.parsed_data_field
            wanted = field.annotation if field is not None else Any
            large = len(body) > LARGE_BYTES
            self._json = await asyncio.to_thread(_decode_large, body, wanted) if large else _decode(body, wanted)
        return self._json


def _decode_large(body: bytes, wanted: Any) -> Any:
    with _ONE_AT_A_TIME:
        return _decode(body, wanted)


def _decode(body: bytes, wanted: Any) -> Any:
    try:
        check_json(body)
        value = msgspec.json.decode(body, type=wanted)
        check_keys(body)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        raise ValidationError(f"{field}: {sentence}" if field else sentence, **({"field": field} if field else {})) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValidationError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise ValidationError("the JSON is nested too deeply") from error
    return value


def right_media_type(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard all handlers: a body comes as the type that the handler reads, and not compressed.

    :raises UnsupportedMediaTypeError: it does not.
    """
    headers = connection.headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    field = getattr(handler, "parsed_data_field", None)
    if field is None or not has_body:
        return
    kwarg = field.kwarg_definition
    wanted = RequestEncodingType(kwarg.media_type if isinstance(kwarg, BodyKwarg) else RequestEncodingType.JSON).value
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted or headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError(f"the body needs to be {wanted}, not compressed")
