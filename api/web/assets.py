"""Assets: styles, scripts and icons of the pages, under an address that changes with them, so that browsers may keep them."""

import hashlib
from pathlib import Path

from litestar import Response, get
from litestar.params import FromPath

from persistence.errors import NotFoundError

_FOLDER = Path(__file__).parent / "assets"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


def _read() -> dict[str, bytes]:
    files = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES)
    return {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in files}


_CONTENTS = _read()
# Modules find each other by relative addresses, so one number for all of them keeps what belongs together together.
VERSION = hashlib.sha256(b"".join(name.encode() + b"\0" + content for name, content in _CONTENTS.items())).hexdigest()[:12]
PREFIX = f"/assets/{VERSION}"


@get("/assets/{version:str}/{name:path}", sync_to_thread=False, include_in_schema=False)
def read_asset(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Give one file; by an older version's address, as a page asks that was open during an upgrade, it is not to be kept."""
    name = name.removeprefix("/")
    content = _CONTENTS.get(name)
    if content is None:
        raise NotFoundError
    return Response(
        content,
        media_type=_MEDIA_TYPES[Path(name).suffix],
        headers={"Cache-Control": _FOR_EVER if version == VERSION else "no-store"},
    )


ROUTES = [read_asset]
