"""S14: what belongs to somebody else looks, to the byte, like what does not exist."""

from typing import Any

import httpx
import pytest

from persistence.ids import new_id
from tests.acceptance.security.belongings import FILE, own_everything
from tests.acceptance.security.operations import Operation, operations
from tests.acceptance.served import Served

NOBODY = {"tenant": "another tenant's", "colleague": "a colleague's"}


@pytest.mark.parametrize("relation", NOBODY)
def test_foreign_ids_look_like_nonsense(greenroom: Served, relation: str) -> None:
    """On every route and verb another's id of any kind gives the same status and bytes as one that nobody has."""
    # given
    me = greenroom.user("me", tenant="acme")
    them = greenroom.user("them", tenant="globex" if relation == "tenant" else "acme")
    owned = own_everything(greenroom, them, "them")
    addressed = [operation for operation in operations(greenroom) if operation.parameters]
    assert len(addressed) > 10
    differences = []
    for operation in addressed:
        missing = ask(me, operation, new_id())
        # when
        for what, owned_id in {**owned, "nonsense": "nonsense", "user name": "them"}.items():
            status, content = ask(me, operation, owned_id)
            # then
            if (status, content) != missing or status not in {403, 404}:
                differences.append(f"{operation} with the id of a {what}: {status} {content[:200]!r}")
    assert differences == []
    assert own_status(them, owned["job"]) == "queued"


def test_the_owner_finds_all_of_it(greenroom: Served) -> None:
    """The same ids give the owner something: it is not the routes that know nothing."""
    them = greenroom.user("them")
    owned = own_everything(greenroom, them, "them")
    found = {
        f"/jobs/{owned['job']}",
        f"/jobs/{owned['job']}/history",
        f"/jobs/{owned['job']}/attempts",
        f"/jobs/{owned['job']}/files/{FILE}",
        f"/dead-letters/{owned['dead letter']}",
        f"/books/{owned['book']}",
        f"/books/{owned['book']}/jobs",
        f"/plans/{owned['plan']}",
        f"/plans/jobs/{owned['plan job']}",
        f"/runs/{owned['run']}",
        f"/runs/{owned['run']}/progress",
        f"/runs/{owned['run']}/tasks",
        f"/schedules/{owned['schedule']}",
        f"/webhooks/{owned['webhook']}",
        f"/webhooks/{owned['webhook']}/deliveries",
        f"/deliveries/{owned['delivery']}",
        f"/evaluations/definitions/{owned['definition']}",
        f"/scans/{owned['scan']}",
    }
    assert {path: them.get(path).status_code for path in found} == dict.fromkeys(found, 200)
    assert {path: greenroom.admin.get(path).status_code for path in found} == dict.fromkeys(found, 200)


def ask(client: httpx.Client, operation: Operation, id: str) -> tuple[int, bytes]:
    """Ask for one id on an operation, with the least body that it takes."""
    path = operation.fill(**dict.fromkeys(operation.parameters, id) | ({"name": FILE} if "id" in operation.parameters else {}))
    body: dict[str, Any] | None = {} if operation.media_types else None
    with client.stream(operation.verb.upper(), path, json=body) as answer:
        if answer.status_code == 200 and operation.streams:
            return 200, b"a stream"
        return answer.status_code, answer.read()


def own_status(client: httpx.Client, job_id: str) -> str:
    """How the owner's job stands."""
    status: str = client.get(f"/jobs/{job_id}").json()["status"]
    return status
