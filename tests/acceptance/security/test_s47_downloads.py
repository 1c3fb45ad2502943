"""S47: stored names are the server's, and a download is an attachment that nobody guesses at."""

from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, submit


def test_a_file_is_downloaded_and_never_shown(greenroom: Served) -> None:
    """An attachment keeps its bytes, is to be stored and not to be guessed; a header cannot be smuggled in."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    job = submit(ann)["id"]
    stage.save_file(job, 'ev"il\r\nx: y.html', b"<script>", "text/html\r\nx: y")
    stage.save_file(job, "report.txt", b"all well", "text/plain")

    evil, plain = (ann.get(f"/jobs/{job}/files/{name}") for name in ("ev%22il%0D%0Ax%3A%20y.html", "report.txt"))

    assert (plain.content, plain.headers["content-type"]) == (b"all well", "text/plain; charset=utf-8")
    assert (evil.content, evil.headers["content-type"]) == (b"<script>", "application/octet-stream")
    for answer in (evil, plain):
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "x" not in answer.headers
    assert {file["name"] for file in ann.get(f"/jobs/{job}").json()["files"]} == {"report.txt", 'ev"il\r\nx: y.html'}
    assert ann.get(f"/jobs/{job}/files/other.txt").status_code == 404


def test_an_upload_is_stored_under_the_server_s_name(greenroom: Served) -> None:
    """Whatever a client calls its PDF, it is stored as `book.pdf`; the name is a word for people, cut to its last part."""
    ann = greenroom.user("ann")
    evil = "../../etc/<script>passwd"

    made = ann.post("/books", files={"file": (evil, b"%PDF-1.7", "text/html")}).json()

    assert made["job"]["files"] == [{"name": "book.pdf", "media_type": "application/pdf", "bytes": 8}]
    assert made["book"]["filename"] == "<script>passwd"
    answer = ann.get(f"/jobs/{made['job']['id']}/files/book.pdf")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-type"] == "application/pdf"
