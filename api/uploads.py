"""Uploads: a form with one PDF, taken in piece by piece and refused as early as possible."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from litestar import Request
from litestar.exceptions import ClientException
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Reference, RequestBody, Schema
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from api.limits import refuse_nul
from persistence.errors import PayloadTooLargeError, UnsupportedMediaTypeError, ValidationError
from persistence.files import CHUNK_BYTES

MULTIPART = "multipart/form-data"
_MAGIC = b"%PDF-"
# Readers accept a PDF whose header stands within its first kilobyte.
_HEAD_BYTES = 1024
_IN_MEMORY_BYTES = 1024 * 1024
_TITLE_BYTES = 4 * 500
_MOST_TITLE_CHARACTERS = 500
_MOST_NAME_CHARACTERS = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(slots=True)
class Upload:
    """A PDF that has arrived whole.

    :param file: its content, in a file that is gone when closed; kept in memory while it is small.
    :param filename: the last part of what the client calls it.
    """

    file: IO[bytes]
    size: int
    filename: str
    title: str | None

    def chunks(self) -> Iterator[bytes]:
        """Read the content from its beginning in the pieces in which it is stored."""
        self.file.seek(0)
        while chunk := self.file.read(CHUNK_BYTES):
            yield chunk


@dataclass
class UploadOperation(Operation):
    """Describes the form for OpenAPI."""

    def __post_init__(self) -> None:
        """Add the body."""
        fields: dict[str, Reference | Schema] = {
            "file": Schema(type=OpenAPIType.STRING, content_media_type="application/pdf", description="A PDF."),
            "title": Schema(type=OpenAPIType.STRING, max_length=_MOST_TITLE_CHARACTERS),
        }
        form = Schema(type=OpenAPIType.OBJECT, properties=fields, required=["file"], additional_properties=False)
        self.request_body = RequestBody({MULTIPART: OpenAPIMediaType(schema=form)}, required=True)


async def receive(request: Request[Any, Any, Any], *, most_bytes: int) -> Upload:
    """Take in the form; the caller closes the upload's file.

    :param most_bytes: the largest file that is taken.
    :raises UnsupportedMediaTypeError: it is no form.
    :raises PayloadTooLargeError: the file is larger; no more of it is read.
    :raises ValidationError: it is no PDF, or the form is not well-formed or has other fields.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != MULTIPART or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError(f"the body needs to be {MULTIPART}, not compressed")
    boundary = options.get("boundary")
    if not boundary:
        raise ValidationError("the form has no boundary")
    form = _Form(most_bytes)
    try:
        parser = PushMultipartParser(boundary, max_segment_count=2)
        async for chunk in request.stream():
            for part in parser.parse(chunk):
                form.take(part)
        form.end(is_whole=parser.closed)
        return form.upload()
    except BaseException as error:
        form.file.close()
        raise _explained(error, most_bytes) from error


def _explained(error: BaseException, most_bytes: int) -> BaseException:
    if isinstance(error, ParserLimitReached):
        return ValidationError("the form may have the fields file and title, each once")
    if isinstance(error, MultipartError | UnicodeError | LookupError):
        return ValidationError("the form is not well-formed")
    if isinstance(error, ClientException) and error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return PayloadTooLargeError(f"file: larger than {most_bytes} bytes", limit=most_bytes, field="file")
    return error


class _Form:
    """What has arrived of a form."""

    def __init__(self, most_bytes: int) -> None:
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        self._most_bytes = most_bytes
        self._size = 0
        self._head = b""
        self._title = bytearray()
        self._filename: str | None = None
        self._fields: list[str] = []

    def take(self, part: MultipartSegment | bytearray | None) -> None:
        """Take the next piece: the beginning of a field, some of its content, or None at its end."""
        if isinstance(part, MultipartSegment):
            self._begin(part)
        elif part is None:
            if self._fields[-1] == "file":
                self._check_head()
        elif self._fields[-1] == "file":
            self._size += len(part)
            if self._size > self._most_bytes:
                raise PayloadTooLargeError(f"file: larger than {self._most_bytes} bytes", limit=self._most_bytes, field="file")
            if len(self._head) < _HEAD_BYTES:
                self._head += part[: _HEAD_BYTES - len(self._head)]
                if len(self._head) == _HEAD_BYTES:
                    self._check_head()
            self.file.write(part)
        else:
            self._title += part
            if len(self._title) > _TITLE_BYTES:
                raise ValidationError(f"title: longer than {_MOST_TITLE_CHARACTERS} characters", field="title")

    def end(self, *, is_whole: bool) -> None:
        """Take note of the form's end."""
        if not is_whole:
            raise ValidationError("the form ends in the middle")

    def upload(self) -> Upload:
        """Give what has arrived, now that it is whole."""
        if "file" not in self._fields:
            raise ValidationError("file: missing", field="file")
        title = self._title.decode().strip()
        if len(title) > _MOST_TITLE_CHARACTERS:
            raise ValidationError(f"title: longer than {_MOST_TITLE_CHARACTERS} characters", field="title")
        refuse_nul(title, field="title")
        return Upload(self.file, self._size, self._filename or "book.pdf", title or None)

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        if name not in {"file", "title"} or name in self._fields:
            raise ValidationError("the form may have the fields file and title, each once", field=name[:100])
        if name == "file":
            if segment.filename is None:
                raise ValidationError("file: needs to be a file", field="file")
            # Only for people to read: nothing is ever stored or found under this name.
            last = re.split(r"[/\\]", segment.filename)[-1]
            self._filename = _CONTROL.sub("", last)[-_MOST_NAME_CHARACTERS:]
        self._fields.append(name)

    def _check_head(self) -> None:
        if _MAGIC not in self._head:
            raise ValidationError("file: not a PDF", field="file")
