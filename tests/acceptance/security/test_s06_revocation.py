"""S6: a revoked key is refused everywhere within a second."""

import time

from pydantic import SecretStr

from api.settings import ApiSettings
from tests.acceptance.served import served

ADMIN_KEY = "an-operators-own-choice-of-a-key-0001"


def test_a_revoked_key_ends_on_every_process(database_url: str) -> None:
    """A key that two APIs know, revoked through one, is refused by that one at once and by the other within a second."""
    settings = ApiSettings(port=0, admin_key=SecretStr(ADMIN_KEY))
    with served(database_url, settings=settings) as one, served(database_url, settings=settings) as other:
        # given
        one.put_user("ann")
        made = one.make_key("ann")
        here, there = one.client(made["key"]), other.client(made["key"])
        assert (here.get("/quota").status_code, there.get("/quota").status_code) == (200, 200)
        # when
        assert one.admin.delete(f"/keys/{made['id']}").status_code == 204
        revoked = time.monotonic()
        # then
        assert here.get("/quota").status_code == 401
        asked = time.monotonic()
        while there.get("/quota").status_code != 401:
            assert asked - revoked < 1
            asked = time.monotonic()


def test_revoking_again_changes_nothing(database_url: str) -> None:
    """A revoked key can be revoked again; what is no key gives 404."""
    with served(database_url) as greenroom:
        greenroom.put_user("ann")
        made = greenroom.make_key("ann")
        answers = [greenroom.admin.delete(f"/keys/{made['id']}") for _ in range(2)]
        unknown = greenroom.admin.delete("/keys/01a203c4-7285-77c0-93f7-dfe20c44ede2")
        nonsense = greenroom.admin.delete("/keys/nonsense")
    assert [answer.status_code for answer in answers] == [204, 204]
    assert (unknown.status_code, unknown.content) == (404, nonsense.content)
