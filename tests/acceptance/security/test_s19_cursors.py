"""S19: a cursor is good for whom it was made."""

import base64

from tests.acceptance.security.operations import operations
from tests.acceptance.served import ECHO, Served


def test_a_foreign_cursor_is_refused(greenroom: Served) -> None:
    """Another's cursor, also of a colleague, gives 400 on every list; one's own works."""
    # given
    ann, bob = greenroom.user("ann", tenant="acme"), greenroom.user("bob", tenant="globex")
    for _ in range(2):
        ann.post("/jobs", json={"type": ECHO, "payload": {}})
    cursor = ann.get("/jobs", params={"limit": 1}).json()["next_cursor"]
    lists = [one.path for one in operations(greenroom) if "cursor" in one.queries and not one.parameters]
    # when
    foreign = {path: bob.get(path, params={"cursor": cursor}).status_code for path in lists}
    own = ann.get("/jobs", params={"cursor": cursor})
    # then
    assert foreign == {path: 403 if path == "/users" else 400 for path in lists}
    assert (own.status_code, len(own.json()["items"]), own.json()["next_cursor"]) == (200, 1, None)


def test_nonsense_is_no_cursor(greenroom: Served) -> None:
    """Whatever is put together by hand gives 400 on every list, and never more than that."""
    owner = greenroom.admin.get("/users").json()["items"][0]["id"]
    lists = [one.path for one in operations(greenroom) if "cursor" in one.queries and not one.parameters]
    made_up = ["x", "%00", "====", "a" * 501]
    made_up += [base64.urlsafe_b64encode(text).decode() for text in
                (b"", b"\xff\xfe", owner.encode(), f"{owner} not-an-id\0".encode(), f"{owner} ' OR 1=1 --".encode())]  # fmt: skip
    answers = [greenroom.admin.get(path, params={"cursor": text}) for path in lists for text in made_up]
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
