"""S25: a page has a size that the server can bear."""

from persistence.ids import new_id
from tests.acceptance.security.operations import operations
from tests.acceptance.served import Served


def test_a_page_is_never_too_large(greenroom_on_sqlite: Served) -> None:
    """On every list a limit over 200, under 1 or that is no number gives 400; 1 and 200 do not."""
    # given
    lists = [one for one in operations(greenroom_on_sqlite) if "limit" in one.queries]
    assert len(lists) > 4
    # when
    answers = {
        (str(one), limit): greenroom_on_sqlite.admin.get(
            one.fill(**dict.fromkeys(one.parameters, new_id()) | {"user": "admin"}), params={"limit": limit}
        )
        for one in lists
        for limit in ("201", "1000000000000000000000", "0", "-1", "1.5", "many", "", "1", "200")
    }
    # then
    refused = {key: answer.status_code for key, answer in answers.items() if key[1] not in {"1", "200"}}
    assert refused == dict.fromkeys(refused, 400)
    assert {answer.json()["code"] for (_, limit), answer in answers.items() if limit == "201"} == {"VALIDATION"}
    assert {answer.status_code for (_, limit), answer in answers.items() if limit in {"1", "200"}} <= {200, 404}


def test_every_list_has_a_limit(greenroom_on_sqlite: Served) -> None:
    """A list that can grow takes `limit` and `cursor`."""
    growing = {"/jobs", "/dead-letters", "/books", "/users", "/users/{user}/keys", "/jobs/{id}/history"}
    limited = {one.path for one in operations(greenroom_on_sqlite) if {"limit", "cursor"} <= set(one.queries)}
    assert growing <= limited
