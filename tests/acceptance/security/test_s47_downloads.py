"""S47: a download has the name that its job gave it, is never shown in the browser, and is never taken for another type."""

from urllib.parse import quote

import pytest

from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, submit


@pytest.mark.parametrize("name", ["page.html", 'a"b.html', "a\r\nX-Evil: 1.txt", "naïve – name.pdf"])
def test_a_file_is_downloaded_and_never_run(greenroom: Served, name: str) -> None:
    """Whatever a file is called and says it is, it comes as an attachment, with nosniff and no header of its own making."""
    client = greenroom.user("ada")
    job = submit(client)
    stage = Stage(greenroom.database)
    stage.save_file(job["id"], name, b"<script>alert(1)</script>", "text/html")
    stage.complete(stage.take_one())

    (listed,) = client.get(f"/jobs/{job['id']}").json()["files"]
    answer = client.get(f"/jobs/{job['id']}/files/{quote(listed['name'])}")

    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in answer.headers
