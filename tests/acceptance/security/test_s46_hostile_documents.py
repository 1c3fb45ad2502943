"""S46: a PDF bomb meets a subprocess with limits and without network; its job fails, and the worker lives."""

from uuid import uuid4

import pytest

from actors.documents.jobs import UploadRequest, upload
from actors.job import JobContext, Permanent
from tests import factories_pdf


@pytest.mark.parametrize("bomb", ["decompression_bomb", "deep_page_tree", "deep_nesting", "form_bomb"])
def test_a_bomb_ends_in_a_permanent_failure_of_its_job(bomb: str) -> None:
    """Each bomb fails its job for good with a message for people, or is read within the limits; this process is unharmed."""
    content = getattr(factories_pdf, bomb)()
    context = JobContext.for_test(files={"book.pdf": content})

    try:
        upload(context, UploadRequest(book=uuid4(), filename="bomb.pdf"))
    except Permanent as error:
        assert str(error)

    fine = JobContext.for_test(files={"book.pdf": factories_pdf.long_book(pages=2)})
    assert upload(fine, UploadRequest(book=uuid4(), filename="fine.pdf")).pages == 2
