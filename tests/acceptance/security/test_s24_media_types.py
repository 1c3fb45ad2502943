"""S24: a body comes as what the route reads."""

import gzip

from tests.acceptance.security.operations import operations
from tests.acceptance.served import ECHO, Served

JOB = b'{"type":"tests.echo","payload":{}}'


def test_other_media_types_are_refused(greenroom_on_sqlite: Served) -> None:
    """Every route that takes a body gives 415 for one of another type, or of none."""
    # given
    with_body = [one for one in operations(greenroom_on_sqlite) if one.media_types]
    assert len(with_body) > 7
    kinds = ["text/plain", "application/xml", "application/x-msgpack", "application/x-www-form-urlencoded", None]
    # when
    statuses = {
        (str(one), kind): greenroom_on_sqlite.admin.request(
            one.verb.upper(), one.fill(), content=b"{}", headers={"Content-Type": kind} if kind else {}
        ).status_code
        for one in with_body
        for kind in kinds
    }
    # then
    assert statuses == dict.fromkeys(statuses, 415)
    assert greenroom_on_sqlite.admin.get("/jobs").json()["items"] == []


def test_compressed_bodies_are_refused(greenroom_on_sqlite: Served) -> None:
    """Nothing is unpacked, so nothing can blow up."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = greenroom_on_sqlite.admin.post("/jobs", content=gzip.compress(JOB), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_charset_does_no_harm(greenroom_on_sqlite: Served) -> None:
    """What many clients add to the media type is no other media type."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = greenroom_on_sqlite.admin.post("/jobs", content=JOB, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (202, ECHO)
