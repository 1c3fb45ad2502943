"""S3: an unknown prefix and a wrong secret take the same work, so no clock tells them apart."""

import hmac

import pytest
from sqlalchemy import event

from tests.acceptance.served import Served


def test_unknown_prefix_and_wrong_secret_cost_the_same(greenroom_on_sqlite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both execute the same statements and compare one hash, in constant time."""
    # given
    greenroom_on_sqlite.put_user("ann")
    prefix = greenroom_on_sqlite.make_key("ann")["prefix"]
    work: list[str] = []
    compare = hmac.compare_digest

    def counted(one: str, other: str) -> bool:
        work.append("compare_digest")
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)

    @event.listens_for(greenroom_on_sqlite.database.engine, "before_cursor_execute")
    def count(connection: object, cursor: object, statement: str, *rest: object) -> None:
        work.append(statement)

    def work_for(key: str) -> list[str]:
        work.clear()
        assert greenroom_on_sqlite.client(key).get("/tiers").status_code == 401
        return list(work)

    # when
    wrong_secret = work_for(f"gr_{prefix}_{'x' * 43}")
    unknown_prefix = work_for(f"gr_zzzzzzzzzzzz_{'x' * 43}")
    # then
    assert wrong_secret == unknown_prefix
    assert wrong_secret.count("compare_digest") == 1
