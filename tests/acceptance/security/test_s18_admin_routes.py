"""S18: the operator's routes are closed to everybody else."""

import httpx

from tests.acceptance.security.operations import operations
from tests.acceptance.served import Served


def test_a_user_cannot_do_what_the_operator_does(greenroom_on_sqlite: Served) -> None:
    """Every operation that OpenAPI describes with a 403 gives 403 to a user's key before it looks at anything else."""
    # given
    user = greenroom_on_sqlite.user("ann")
    closed = {str(one): one for one in operations(greenroom_on_sqlite) if "403" in one.statuses}
    # when
    answers: dict[str, httpx.Response] = {
        name: user.request(one.verb.upper(), one.fill(), json={} if one.media_types else None) for name, one in closed.items()
    }
    # then
    assert {
        "PUT /users/{user}",
        "POST /users/{user}/keys",
        "GET /users/{user}/keys",
        "DELETE /keys/{id}",
        "PUT /tiers/{name}",
        "POST /queue/pause",
        "POST /queue/resume",
    } <= set(closed)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(closed, 403)
    assert {answer.json()["code"] for answer in answers.values()} == {"FORBIDDEN"}
    assert user.get("/tiers").status_code == 200
