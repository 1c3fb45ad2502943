"""The job types of a book: upload checks the PDF, extract reads it, describe and convert make something of the text.

Each stage reads the file that an earlier one left and submits what comes next, so a killed worker costs one stage's
attempt and nothing else. No stage parses anything itself: see sandbox.py.
"""

from typing import Annotated
from uuid import UUID

import msgspec

from actors.documents import sandbox
from actors.documents.reading.book import Converted, Described, Extracted, Inspected, Metadata
from actors.job import Backoff, JobContext, Permanent, job
from persistence.errors import NotFoundError

PDF = "book.pdf"
TEXT = "text.json"
HTML = "book.html"

Title = Annotated[str, msgspec.Meta(max_length=500)]

_RETRY = Backoff(1, 5, 30)
_MAX_ATTEMPTS = 4
_TIME_LIMIT_SECONDS = 120  # the reader's own limits end it sooner, see sandbox.Limits
_LAST_PERCENT = 99  # 100 is for what has been committed


class UploadRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Check the PDF that is attached to this job as `book.pdf`."""

    book: UUID
    filename: Annotated[str, msgspec.Meta(max_length=255)]
    title: Title | None = None


class UploadedBook(msgspec.Struct):
    """A PDF that can be opened: its size and what it says about itself."""

    pages: int
    bytes: int
    title: str | None
    metadata: Metadata


class ExtractRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Read the text of the PDF attached to the job `source`."""

    book: UUID
    source: UUID
    title: Title | None = None


class DescribeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Describe the text attached to the job `source`."""

    book: UUID
    source: UUID


class ConvertRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Make HTML of the text attached to the job `source`."""

    book: UUID
    source: UUID


@job(
    "documents.upload",
    payload=UploadRequest,
    result=UploadedBook,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def upload(job: JobContext, request: UploadRequest) -> UploadedBook:
    """Check that the uploaded PDF can be read and let it be extracted."""
    content = _attached(job, PDF)
    reading = _read(job, "inspect", content)
    found = reading.result_as(Inspected)
    title = request.title or found.metadata.title
    following: dict[str, str | None] = {"book": str(request.book), "source": str(job.id), "title": request.title}
    job.submit("documents.extract", following)
    return UploadedBook(found.pages, len(content), title, found.metadata)


@job(
    "documents.extract",
    payload=ExtractRequest,
    result=Extracted,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def extract(job: JobContext, request: ExtractRequest) -> Extracted:
    """Read the book's text and chapters into `text.json` and let it be described and converted."""
    reading = _read(job, "extract", _attached(job, PDF, of=request.source), title=request.title)
    job.save_file(TEXT, reading.output, "application/json")
    following = {"book": str(request.book), "source": str(job.id)}
    job.submit("documents.describe", following)
    job.submit("documents.convert", following)
    return reading.result_as(Extracted)


@job(
    "documents.describe",
    payload=DescribeRequest,
    result=Described,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def describe(job: JobContext, request: DescribeRequest) -> Described:
    """Find the book's languages, key phrases and counts."""
    return _read(job, "describe", _attached(job, TEXT, of=request.source)).result_as(Described)


@job(
    "documents.convert",
    payload=ConvertRequest,
    result=Converted,
    time_limit_seconds=_TIME_LIMIT_SECONDS,
    retry=_RETRY,
    max_attempts=_MAX_ATTEMPTS,
)
def convert(job: JobContext, request: ConvertRequest) -> Converted:
    """Make `book.html` of the book's text: one clean document that loads nothing."""
    reading = _read(job, "convert", _attached(job, TEXT, of=request.source))
    job.save_file(HTML, reading.output, "text/html")
    return reading.result_as(Converted)


def _attached(job: JobContext, name: str, *, of: UUID | None = None) -> bytes:
    try:
        return job.read_file(name, None if of is None else str(of))
    except NotFoundError as error:
        message = f"There is no file {name} attached to the job {of or job.id}."
        raise Permanent(message) from error


def _read(job: JobContext, command: sandbox.Command, source: bytes, *, title: str | None = None) -> sandbox.Reading:
    def progress(page: int, of: int) -> None:
        job.progress(_LAST_PERCENT * page // max(of, 1), f"page {page} of {of}")

    reading = sandbox.read(command, source, progress=progress, check=job.check, title=title)
    job.log.info("document read", command=command, memory_bytes=reading.memory_bytes, cpu_seconds=reading.cpu_seconds)
    return reading
