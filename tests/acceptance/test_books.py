from typing import Any

import httpx
import pytest

from api.settings import ApiSettings
from persistence import books
from persistence.files import CHUNK_BYTES
from tests import factories, factories_pdf
from tests.acceptance.served import Served, served
from tests.acceptance.stage import Stage, items, submit

PDF = factories_pdf.book(chapters=2)
EXTRACTED = '{"pages":2,"chapters":[{"title":"Chapter 1","page":1},{"title":"Chapter 2","page":2}]}'


def upload(client: httpx.Client, content: bytes = PDF, name: str = "my_first book.pdf", **fields: str) -> httpx.Response:
    """Send a PDF as a browser's form does."""
    return client.post("/books", files={"file": (name, content, "application/pdf")}, data=fields)


def uploaded(client: httpx.Client, **words: Any) -> dict[str, Any]:
    """Send a PDF that has to be accepted."""
    answer = upload(client, **words)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def stage_of(book: str, type: str) -> Any:
    """Describe a stage's job as the stage before it submits it."""
    return factories.submission(type, subject=book)


def make(stage: Stage, book: str) -> None:
    """Lead a book through its four stages."""
    stage.finish(
        stage.take_one(),
        result='{"pages":2,"title":"Said by the PDF","metadata":{"author":"A. Author"}}',
        follow_ups=[stage_of(book, books.EXTRACT)],
    )
    following = [stage_of(book, books.DESCRIBE), stage_of(book, books.CONVERT)]
    stage.finish(stage.take_one(), result=EXTRACTED, follow_ups=following)
    stage.finish(stage.take_one(), result='{"language":"en","pages":2}')
    taken = stage.take_one()
    stage.save_file(taken.id, books.HTML, b"<!doctype html><p>Hello", "text/html")
    stage.finish(taken, result='{"bytes":23,"chapters":2}')


def test_a_pdf_becomes_a_book(greenroom: Served) -> None:
    """201 with the book and its first job; it is ready with its last stage, and its HTML can be had."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    answer = upload(ann)
    book, job = answer.json()["book"], answer.json()["job"]
    path = f"/books/{book['id']}"
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1{path}"
    assert (book["status"], book["title"], book["pages"], book["chapters"]) == ("processing", "my first book", None, [])
    assert (job["type"], job["status"], job["position"], job["payload"]["book"]) == (books.UPLOAD, "queued", 1, book["id"])
    assert ann.get(f"/jobs/{job['id']}/files/book.pdf").content == PDF
    assert ann.get(f"{path}/html").status_code == 404

    make(stage, book["id"])

    book = ann.get(path).json()
    assert (book["status"], book["title"], book["pages"], book["error"]) == ("ready", "Said by the PDF", 2, None)
    assert book["metadata"] == {"author": "A. Author", "language": "en"}
    assert book["chapters"] == [{"title": "Chapter 1", "page": 1}, {"title": "Chapter 2", "page": 2}]
    assert [one["type"] for one in items(ann, f"{path}/jobs")] == list(books.STAGES)
    html = ann.get(f"{path}/html")
    assert (html.content, html.headers["content-type"]) == (b"<!doctype html><p>Hello", "text/html; charset=utf-8")
    assert html.headers["content-disposition"].startswith("attachment")
    assert items(ann, "/books") == [book]


def test_a_given_title_counts(greenroom: Served) -> None:
    """The uploader's title stands before the PDF's own."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    book = uploaded(ann, title="  Mine ")["book"]
    make(stage, book["id"])

    assert ann.get(f"/books/{book['id']}").json()["title"] == "Mine"


def test_three_stages_are_no_book(greenroom: Served) -> None:
    """A book is processing until the last of its four stages has completed."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    book = uploaded(ann)["book"]["id"]
    for following in ([books.EXTRACT], [books.DESCRIBE, books.CONVERT], []):
        jobs = [stage_of(book, kind) for kind in following]
        stage.finish(stage.take_one(), result="{}", follow_ups=jobs)
        assert ann.get(f"/books/{book}").json()["status"] == "processing"
    stage.finish(stage.take_one(), result="{}")

    assert ann.get(f"/books/{book}").json()["status"] == "ready"


def test_a_failed_stage_is_the_book_s_error(greenroom: Served) -> None:
    """A stage that failed for good makes the book an error that says why; a replay brings it back."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    book = uploaded(ann)["book"]
    stage.fail(stage.take_one(), "UnreadableDocumentError")

    broken = ann.get(f"/books/{book['id']}").json()
    assert (broken["status"], broken["error"]["type"]) == ("error", "UnreadableDocumentError")
    (letter,) = items(ann, "/dead-letters")
    ann.post(f"/dead-letters/{letter['id']}/replay")
    assert ann.get(f"/books/{book['id']}").json()["status"] == "processing"


def test_a_large_pdf_is_kept_in_pieces(greenroom: Served) -> None:
    """A PDF of several megabytes comes back as it was."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    content = b"%PDF-1.7\n" + bytes(range(256)) * (3 * CHUNK_BYTES // 256)

    job = uploaded(ann, content=content)["job"]

    assert job["files"] == [{"name": "book.pdf", "media_type": "application/pdf", "bytes": len(content)}]
    assert ann.get(f"/jobs/{job['id']}/files/book.pdf").content == content
    assert stage.rows("file_chunks") == 4


def test_deleting_a_book_takes_its_jobs(greenroom: Served) -> None:
    """A deleted book is gone at once, its jobs are cancelled, and a late stage leaves nothing behind."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    book = uploaded(ann)["book"]["id"]
    kept = submit(ann)["id"]
    taken = stage.take_one()

    assert ann.delete(f"/books/{book}").status_code == 204

    for path in ("", "/jobs", "/html"):
        assert ann.get(f"/books/{book}{path}").status_code == 404
    assert ann.delete(f"/books/{book}").status_code == 404
    assert items(ann, "/books") == []
    assert ann.get(f"/jobs/{taken.id}").json()["status"] == "cancelled"
    assert not stage.finish(taken, result="{}", follow_ups=[stage_of(book, books.EXTRACT)])
    assert ann.get(f"/jobs/{kept}").json()["status"] == "queued"
    assert stage.rows() == 2


def test_others_see_no_books(greenroom: Served) -> None:
    """A stranger gets the bytes of nonsense for every address of a book; the operator sees it."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob", tenant="other")
    book = uploaded(ann)["book"]["id"]
    nothing = "01a203d5-8286-74ac-aa6c-0383f8d224f9"

    for method, path in (("GET", ""), ("GET", "/jobs"), ("GET", "/html"), ("DELETE", "")):
        theirs, nonsense = (bob.request(method, f"/books/{one}{path}") for one in (book, nothing))
        assert (theirs.status_code, theirs.content) == (404, nonsense.content)
    assert items(bob, "/books") == []
    assert [one["id"] for one in items(greenroom.admin, "/books")] == [book]


def test_a_full_user_uploads_nothing(greenroom: Served) -> None:
    """A book that admission refuses leaves neither a book nor a file."""
    ann, stage = greenroom.user("ann", tier="free"), Stage(greenroom.database)
    submit(ann)

    answer = upload(ann)

    assert (answer.status_code, answer.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert (stage.rows("books"), stage.rows("job_files"), stage.rows("jobs")) == (0, 0, 1)


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    """Write a form by hand."""
    return b"".join(b"--x\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + end


FILE = b'name="file"; filename="a.pdf"\r\n\r\n%PDF-1.7'
BAD = {
    "not a PDF": form(b'name="file"; filename="a.pdf"\r\n\r\nMZ' + b"x" * 2000),
    "an empty file": form(b'name="file"; filename="a.pdf"\r\n\r\n'),
    "no file": form(b'name="title"\r\n\r\nA'),
    "a text for a file": form(b'name="file"\r\n\r\n%PDF-1.7'),
    "two files": form(FILE, FILE),
    "an unknown field": form(FILE, b'name="status"\r\n\r\nready'),
    "NUL in the title": form(FILE, b'name="title"\r\n\r\na\x00b'),
    "a title that is not UTF-8": form(FILE, b'name="title"\r\n\r\n\xff'),
    "a long title": form(FILE, b'name="title"\r\n\r\n' + b"x" * 501),
    "cut off": form(FILE, end=b""),
    "no form at all": b"%PDF-1.7",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_forms_are_refused(greenroom: Served, name: str) -> None:
    """What is no form with one PDF is a bad request, and nothing is written."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)

    answer = ann.post("/books", content=BAD[name], headers={"content-type": "multipart/form-data; boundary=x"})

    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION"), answer.text
    assert (stage.rows("books"), stage.rows("jobs"), stage.rows("file_chunks")) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["application/json", "application/pdf", "multipart/mixed; boundary=x", ""])
def test_only_forms_are_taken(greenroom: Served, kind: str) -> None:
    """Another media type is 415."""
    answer = greenroom.user("ann").post("/books", content=form(FILE), headers={"content-type": kind})

    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_form_without_a_boundary_is_refused(greenroom: Served) -> None:
    """A form that cannot be taken apart is a bad request."""
    answer = greenroom.user("ann").post("/books", content=form(FILE), headers={"content-type": "multipart/form-data"})

    assert answer.status_code == 400


def test_a_name_is_only_a_name(greenroom: Served) -> None:
    """Whatever a client calls its file, only the last part of it is kept, and only for people to read."""
    ann = greenroom.user("ann")
    part = b'name="file"; filename="..\\\\..\\etc/pass\x07wd.pdf"\r\n\r\n%PDF-1.7'

    answer = ann.post("/books", content=form(part), headers={"content-type": "multipart/form-data; boundary=x"})

    assert answer.status_code in {201, 400}
    if answer.status_code == 201:
        assert answer.json()["book"]["filename"] == "passwd.pdf"


def test_an_upload_has_a_limit(database_url: str) -> None:
    """A file above the setting is 413 with the limit, whether its length is told before or not; one at the limit is taken."""
    most = 200_000
    with served(database_url, settings=ApiSettings(port=0, upload_bytes=most)) as greenroom:
        ann, stage = greenroom.user("ann"), Stage(greenroom.database)
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-1.7'

        def pieces() -> Any:
            yield head
            for _ in range(10):
                yield b"x" * 65536

        kind = {"content-type": "multipart/form-data; boundary=x"}
        answers = [upload(ann, b"%PDF-" + b"x" * most), ann.post("/books", content=pieces(), headers=kind)]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
            assert answer.json()["limit"] == most
        assert stage.rows("books") == 0
        assert upload(ann, b"%PDF-" + b"x" * (most - 5)).status_code == 201
