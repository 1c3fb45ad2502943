"""Downloads: attachments leave piece by piece, to be stored by a browser and never shown."""

import asyncio
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import quote

from litestar.openapi import ResponseSpec
from litestar.response import Stream

from persistence import files
from persistence.database import Database
from persistence.files import JobFile

_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._ -]")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?")

# What the document says; the true type is the attachment's own.
DOWNLOAD = {
    HTTPStatus.OK.value: ResponseSpec(
        bytes, description="The attachment.", media_type="application/octet-stream", generate_examples=False
    )
}


def download(database: Database, file: JobFile, *, media_type: str | None = None) -> Stream:
    """Send an attachment.

    :param media_type: what to say in place of what its author said.
    """
    kind = media_type or file.media_type
    plain = _PLAIN_NAME.sub("_", file.name)
    return Stream(
        _pieces(database, file.id),
        media_type=kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}",
            "Content-Length": str(file.bytes),
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _pieces(database: Database, file_id: str) -> AsyncIterator[bytes]:
    def piece(number: int) -> bytes | None:
        with database.read() as session:
            return files.chunk(session, file_id=file_id, number=number)

    number = 0
    while (content := await asyncio.to_thread(piece, number)) is not None:
        yield content
        number += 1
