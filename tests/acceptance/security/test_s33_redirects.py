"""S33: a redirect is a failed delivery and is not followed."""

import pytest

from tests.acceptance.post import post, register, settled
from tests.receiver import receiving, status


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(sqlite_database: str, code: int) -> None:
    """Where a receiver points to nobody goes, and the delivery says why it failed."""
    with post(sqlite_database, backoff_seconds=(0.0,)) as office, receiving() as inside:
        with receiving(status(code, Location=inside.url)) as receiver:
            ann = office.greenroom.user("ann")
            endpoint = register(ann, receiver.url)["id"]
            office.complete(ann)
            (failed,) = settled(ann, endpoint, "failed")
        assert (failed["response_status"], failed["error"]) == (code, f"answered {code}: redirects are not followed")
        assert inside.received == []
