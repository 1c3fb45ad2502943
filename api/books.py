"""Books: a PDF goes in, and what the actors make of it comes out."""

import asyncio
import re
from datetime import datetime
from http import HTTPStatus
from pathlib import PurePath
from typing import Any

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from actors.registry import Registry
from api.dependencies import Caller
from api.downloads import download
from api.limits import SubmitRates
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from api.problems import specs
from api.requests import StrictRequest
from api.settings import ApiSettings
from api.uploads import Upload, UploadOperation, receive
from api.wire import PREFIX, ErrorOut, JobOut, as_admitted, error_out, id_of, job_out
from persistence import admission, books, cancellation, files, job_views
from persistence.books import BookView
from persistence.database import Database
from persistence.database import now as database_now
from persistence.ids import new_id
from persistence.states import Status
from persistence.wakeup import Notifier

_SPACES = re.compile(r"[\s_]+")
_DELETED = "book deleted"
_MOST_JOBS = 200


class ChapterOut(msgspec.Struct):
    """A chapter and the page, counted from 1, on which it begins."""

    title: str
    page: int


class BookOut(msgspec.Struct, kw_only=True):
    """A book as its caller sees it; what its stages have not found yet is null or empty."""

    id: str
    title: str
    filename: str
    status: str
    pages: int | None
    metadata: dict[str, Any]
    chapters: list[ChapterOut]
    error: ErrorOut | None
    created_at: datetime


class UploadedOut(msgspec.Struct):
    """The book and its first job."""

    book: BookOut
    job: JobOut


@post(
    "/books",
    tags=["books"],
    operation_class=UploadOperation,
    responses=specs(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def upload_book(
    *,
    request: StrictRequest,
    caller: NamedDependency[Caller],
    settings: NamedDependency[ApiSettings],
    rates: NamedDependency[SubmitRates],
    registry: NamedDependency[Registry],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
) -> Response[UploadedOut]:
    """Upload a PDF; its stages begin at once."""
    rates.take(caller)
    upload = await receive(request, most_bytes=settings.upload_bytes)
    with upload.file:
        made = await asyncio.to_thread(_store, database, registry, caller, upload)
    notifier.notify()
    return Response(made, headers={"Location": f"{PREFIX}/books/{made.book.id}"})


@get("/books", sync_to_thread=True, tags=["books"], responses=specs(HTTPStatus.BAD_REQUEST))
def list_books(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[BookOut]:
    """List books, newest first."""
    before = after(cursor, caller)
    with database.read() as session:
        views = books.listed(session, user_id=caller.sees, before=before, limit=limit + 1)
    return page(views, limit=limit, caller=caller, key=lambda view: view.book.id, item=_seen)


@get("/books/{id:str}", sync_to_thread=True, tags=["books"], responses=specs(HTTPStatus.NOT_FOUND))
def read_book(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> BookOut:
    """Read a book: it is ready when its last stage has completed."""
    with database.read() as session:
        return _seen(books.get(session, book_id=id_of(id), user_id=caller.sees))


@get("/books/{id:str}/jobs", sync_to_thread=True, tags=["books"], responses=specs(HTTPStatus.NOT_FOUND))
def read_book_jobs(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> Page[JobOut]:
    """List the jobs of a book in the order of its stages."""
    with database.read() as session:
        view = books.get(session, book_id=id_of(id), user_id=caller.sees)
        ids = [job.id for job in view.jobs[:_MOST_JOBS]]
        views = job_views.of(session, job_ids=ids, user_id=caller.sees)
    return Page([job_out(view) for view in reversed(views)], None)


@get(
    "/books/{id:str}/html",
    sync_to_thread=True,
    media_type="text/html",
    tags=["books"],
    responses=specs(HTTPStatus.NOT_FOUND),
)
def read_book_html(id: FromPath[str], caller: NamedDependency[Caller], database: NamedDependency[Database]) -> Stream:
    """Download the book as one HTML document; 404 until it is made."""
    with database.read() as session:
        file = books.html_of(session, book_id=id_of(id), user_id=caller.sees)
    return download(database, file, media_type="text/html")


@delete("/books/{id:str}", sync_to_thread=True, tags=["books"], responses=specs(HTTPStatus.NOT_FOUND))
def delete_book(
    id: FromPath[str],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    notifier: NamedDependency[Notifier],
) -> None:
    """Delete a book with its jobs and files: it is gone for its user at once."""
    book_id = id_of(id)
    with database.write() as session:
        owner = books.hide(session, book_id=book_id, user_id=caller.sees)
    cancelled = cancellation.CHUNK
    while cancelled == cancellation.CHUNK:
        with database.write() as session:
            cancelled = cancellation.cancel_subject(session, subject=book_id, user_id=owner, reason=_DELETED)
    notifier.notify()


def _store(database: Database, registry: Registry, caller: Caller, upload: Upload) -> UploadedOut:
    """Write the book, its first job and the PDF in one transaction."""
    kind = registry.get(books.UPLOAD)
    book_id = new_id()
    payload = kind.validate({"book": book_id, "filename": upload.filename, "title": upload.title})
    asked = admission.Submission(kind.name, kind.queue, payload, kind.max_attempts, subject=book_id)
    with database.write() as session:
        (admitted,) = admission.submit(session, [admission.Unit(caller.user_id, [asked])])
        if isinstance(admitted, Exception):
            raise admitted
        now = database_now(session)
        books.create(session, book_id=book_id, user_id=caller.user_id, title=upload.title, filename=upload.filename, now=now)
        files.save(session, job_id=asked.id, name=books.PDF, media_type="application/pdf", chunks=upload.chunks(), now=now)
        book = books.get(session, book_id=book_id, user_id=caller.user_id)
        job = job_views.of_admitted(session, job_id=asked.id, position=admitted.positions[0])
        return UploadedOut(_seen(book), as_admitted(job))


def _seen(view: BookView) -> BookOut:
    results = {
        job.type: msgspec.json.decode(job.result)
        for job in view.jobs
        if job.status == Status.COMPLETED and job.result is not None
    }
    inspected, extracted = results.get(books.UPLOAD, {}), results.get(books.EXTRACT, {})
    described = {name: value for name, value in results.get(books.DESCRIBE, {}).items() if name != "pages"}
    error = next((job.error for job in view.jobs if job.status == Status.FAILED), None)
    book = view.book
    return BookOut(
        id=book.id,
        title=book.title or inspected.get("title") or _readable(book.filename),
        filename=book.filename,
        status=view.status,
        pages=extracted.get("pages", inspected.get("pages")),
        metadata={**inspected.get("metadata", {}), **described},
        chapters=[ChapterOut(chapter["title"], chapter["page"]) for chapter in extracted.get("chapters", [])],
        error=error_out(error),
        created_at=book.created_at,
    )


def _readable(filename: str) -> str:
    return _SPACES.sub(" ", PurePath(filename).stem).strip() or filename


ROUTES = [upload_book, list_books, read_book, read_book_jobs, read_book_html, delete_book]
