"""Pages: what a browser is given before anybody has signed in; it holds nothing of anybody, and its scripts ask for the rest."""

import base64
import hashlib
from pathlib import Path

from litestar import MediaType, Response, get

from actors.documents.reading.markup import STYLE
from api.web import assets

BOOKS = (Path(__file__).parent / "books.html").read_text().replace("{assets}", assets.PREFIX).encode()

# A book's own style is looked at, though not used, when a script reads the book as a document.
_BOOK_STYLE = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Nothing inline, nothing from elsewhere, no text that becomes markup or a script, no frame around us, no form that leaves.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' 'sha256-{_BOOK_STYLE}'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@get(["/books", "/books/{book:str}"], sync_to_thread=False, include_in_schema=False)
def show_books() -> Response[bytes]:
    """Show the page of one's books; which of them is open, its script reads from the address."""
    return Response(BOOKS, media_type=MediaType.HTML, headers=_HEADERS)


ROUTES = [show_books]
