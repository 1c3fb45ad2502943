"""The four job types of a book."""

from uuid import uuid4

import msgspec
import pytest

from actors.documents import jobs, sandbox
from actors.documents.errors import ReaderFailedError, ReaderTimeoutError, UnreadableDocumentError
from actors.documents.reading.book import Chapter, Extracted
from actors.job import Cancelled, JobContext, Permanent, Retryable
from persistence.errors import NotFoundError
from tests import factories_pdf

BOOK = uuid4()


def test_upload_checks_the_pdf_and_lets_it_be_extracted() -> None:
    """Pages, bytes and metadata come back small; extract is told where the PDF is and what the uploader called it."""
    # given
    source = factories_pdf.book(chapters=3)
    job = JobContext.for_test(files={"book.pdf": source}, subject=str(BOOK))

    # when
    result = jobs.upload.fn(job, jobs.UploadRequest(BOOK, "lamp.pdf"))

    # then
    assert (result.pages, result.bytes, result.title) == (3, len(source), "The Lamp at the Reef")
    assert [(sent.type, sent.payload) for sent in job.sent] == [
        ("documents.extract", {"book": str(BOOK), "source": job.id, "title": None})
    ]
    assert job.steps[-1] == (99, "page 3 of 3")


def test_extract_keeps_the_text_and_lets_two_jobs_follow() -> None:
    """The text goes into a file, the chapters into the result, and both followers are pointed at this job's file."""
    # given
    job = JobContext.for_test(files={"book.pdf": factories_pdf.book(chapters=2, pages_each=3)}, subject=str(BOOK))

    # when
    result = jobs.extract.fn(job, jobs.ExtractRequest(BOOK, uuid4(), "Mine"))

    # then
    assert isinstance(result, Extracted)
    assert result.chapters == [Chapter("Chapter 1", 1), Chapter("Chapter 2", 4)]
    assert msgspec.json.decode(job.files["text.json"])["title"] == "Mine"
    following = {"book": str(BOOK), "source": job.id}
    assert [(sent.type, sent.payload) for sent in job.sent] == [
        *(("documents.describe", following), ("documents.convert", following))
    ]
    assert [note for _, note in job.steps] == [f"page {page} of 6" for page in range(1, 7)]
    assert [percent for percent, _ in job.steps] == sorted(percent for percent, _ in job.steps)


def test_every_payload_that_a_stage_submits_is_one_that_the_next_accepts() -> None:
    """Follow-ups are converted strictly, so a stage that changes its request breaks here and not in production."""
    # given
    job = JobContext.for_test(files={"book.pdf": factories_pdf.book()}, subject=str(BOOK))
    requests = {
        "documents.extract": jobs.ExtractRequest,
        "documents.describe": jobs.DescribeRequest,
        "documents.convert": jobs.ConvertRequest,
    }

    # when
    jobs.upload.fn(job, jobs.UploadRequest(BOOK, "lamp.pdf", "Mine"))
    jobs.extract.fn(job, msgspec.convert(job.sent[0].payload, jobs.ExtractRequest))

    # then
    assert {sent.type for sent in job.sent} == set(requests)
    for sent in job.sent:
        assert msgspec.convert(sent.payload, requests[sent.type]).book == BOOK


def test_describe_and_convert_finish_the_book() -> None:
    """From the text that extract kept come the description and one HTML document."""
    # given
    job = JobContext.for_test(files={"book.pdf": factories_pdf.book()}, subject=str(BOOK))
    jobs.extract.fn(job, jobs.ExtractRequest(BOOK, uuid4()))

    # when
    described = jobs.describe.fn(job, jobs.DescribeRequest(BOOK, uuid4()))
    converted = jobs.convert.fn(job, jobs.ConvertRequest(BOOK, uuid4()))

    # then
    assert (described.language, described.pages) == ("en", 3)
    assert converted.bytes == len(job.files["book.html"])
    assert job.files["book.html"].startswith(b"<!doctype html>")


def test_results_stay_small_whatever_the_book() -> None:
    """A book of 400 pages with all its chapters has a result far below 64 KiB; test_extraction bounds any other."""
    job = JobContext.for_test(files={"book.pdf": factories_pdf.long_book(pages=400, outline=True)})
    result = jobs.extract.fn(job, jobs.ExtractRequest(BOOK, uuid4()))
    assert result.chapters == [Chapter(f"Chapter {n}", 10 * n - 9) for n in range(1, 41)]
    assert len(msgspec.json.encode(result)) < 8 * 1024


@pytest.mark.parametrize(
    "source",
    [factories_pdf.encrypted(), factories_pdf.truncated(), b"", b"<html>", factories_pdf.no_pages()],
    ids=["encrypted", "truncated", "zero bytes", "html", "no pages"],
)
def test_an_unreadable_pdf_fails_for_good_and_leaves_nothing(source: bytes) -> None:
    """The error is a Permanent one with a sentence; no follow-up is submitted and no file saved."""
    job = JobContext.for_test(files={"book.pdf": source})
    with pytest.raises(Permanent, match=r"PDF|file") as failed:
        jobs.upload.fn(job, jobs.UploadRequest(BOOK, "lamp.pdf"))
    assert isinstance(failed.value, UnreadableDocumentError)
    assert job.sent == []
    assert set(job.files) == {"book.pdf"}


def test_a_missing_file_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that names another one without the file it needs says which, and is not tried again."""
    # given
    job = JobContext.for_test()
    source = uuid4()

    def missing(_name: str, _of: str | None) -> bytes:
        raise NotFoundError

    monkeypatch.setattr(job, "read_file", missing)

    # then
    with pytest.raises(Permanent, match=f"no file text.json attached to the job {source}"):
        jobs.convert.fn(job, jobs.ConvertRequest(BOOK, source))


def test_what_is_not_the_documents_fault_is_tried_again() -> None:
    """A reader that fails or gets no time is retried, a document that cannot be read is not."""
    assert issubclass(ReaderFailedError, Retryable)
    assert issubclass(ReaderTimeoutError, Retryable)
    assert issubclass(UnreadableDocumentError, Permanent)


def test_a_cancelled_job_stops() -> None:
    """Cancelling reaches a job that waits for its reader."""
    job = JobContext.for_test(files={"book.pdf": factories_pdf.long_book(pages=1_000)})
    job.cancel()
    with pytest.raises(Cancelled):
        jobs.extract.fn(job, jobs.ExtractRequest(BOOK, uuid4()))


def test_the_stages_are_declared_as_promised() -> None:
    """Four job types: time for the reader's own limits, one attempt and three retries after 1, 5 and 30 s."""
    actors = (jobs.upload, jobs.extract, jobs.describe, jobs.convert)
    names = [actor.job_type.name for actor in actors]
    assert names == ["documents.upload", "documents.extract", "documents.describe", "documents.convert"]
    for actor in actors:
        assert actor.job_type.time_limit_seconds > sandbox.Limits().wall_seconds
        assert actor.job_type.max_attempts == 4
        assert tuple(actor.job_type.backoff or ()) == (1, 5, 30)
