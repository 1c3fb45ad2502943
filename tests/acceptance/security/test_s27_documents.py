"""S27: no GraphQL document, however it is folded, keeps the server busy: 400 at once, and the next request is served."""

import time
from collections.abc import Callable

import httpx
import pytest
from graphql import get_introspection_query

from api.graphql import endpoint, limits
from tests.acceptance.documents import ask, codes, post
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage

# Far more than any of these takes here, and far less than one of them takes without its guard.
SOON_SECONDS = 5.0


def chain(count: int, inner: str, *, spread: str = "...f{next} ...f{next}") -> str:
    """Write fragments of which each spreads the next one twice, and the last has something inside."""
    links = [f"fragment f{n} on Run {{ {spread.format(next=n + 1)} }}" for n in range(count)]
    return " ".join([*links, f"fragment f{count} on Run {{ {inner} }}"])


def nested(depth: int) -> str:
    """Write a document of so many levels."""
    return "{ run(id: 1) " + "{ progress " * depth + "{ total }" + " }" * (depth + 1)


RUN = "{ run(id: 1) { ...f0 } } "
TYPE = '{ __type(name: "Run") ' + "{ ofType " * 20 + "{ name }" + " }" * 21
BOMBS = {
    "deep": nested(20),
    "deeper than anybody's stack": nested(400),
    "deep by fragments": "{ run(id: 1) { ...f0 } } " + chain(12, "id", spread="progress {{ ...f{next} }}"),
    "deep by inline fragments": "{ run(id: 1) { " + "... on Run { progress { " * 20 + "total" + " } }" * 20 + " } }",
    "deep in the schema": TYPE,
    "a number without end": f"{{ runs(limit: {'9' * 5000}) {{ items {{ id }} }} }}",
    "lists in the schema": "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
    "aliases": "{ " + " ".join(f"a{n}: queueStatus {{ paused }}" for n in range(21)) + " }",
    "aliases in fragments": RUN + chain(5, "a: id"),
    "aliases doubled a hundred times": RUN + chain(100, "a: id"),
    "fields doubled a hundred times": RUN + chain(100, "id"),
    "unused fragments": "{ queueStatus { paused } } " + chain(100, "id"),
    "a fragment of itself": RUN + "fragment f0 on Run { ...f0 }",
    "a circle of fragments": RUN + "fragment f0 on Run { progress { ...f1 } } fragment f1 on Run { ...f0 }",
    "a circle that nobody uses": "{ queueStatus { paused } } fragment f0 on Run { ...f1 } fragment f1 on Run { ...f0 }",
    "tokens": "{ queueStatus { " + "paused " * 1000 + "} }",
    "tokens in a value": "{ jobs(tag: [" + "1 " * 1000 + "]) { items { id } } }",
    "lists of lists": "{ runs(limit: 200) { items { recentTasks(limit: 200) { id } } } }",
    "lists of lists by themselves": "{ runs(limit: 200) { items { recentTasks { id type } progress { byModel { model } } } } }",
    "lists by a variable": "query ($n: Int = 200) { runs(limit: $n) { items { recentTasks(limit: $n) { id } } } }",
    "operations": " ".join(f"query q{n} {{ a: queueStatus {{ paused }} }}" for n in range(21)),
    "directives": "{ queueStatus " + "@skip(if: false) " * 100 + "{ paused } }",
    "brackets": "{ jobs(tag: " + "[" * 490 + "]" * 490 + ") { items { id } } }",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_at_once(greenroom_on_sqlite: Served, bomb: str) -> None:
    """Too deep, too wide, too long, too much of a list, or folded into fragments: 400, soon, with a code and a short answer."""
    user = greenroom_on_sqlite.user("ann")
    ask(user, "{ queueStatus { paused } }")
    started = time.monotonic()
    answer = post(user, BOMBS[bomb])
    assert time.monotonic() - started < SOON_SECONDS
    assert (answer.status_code, set(codes(answer))) == (400, {"VALIDATION"}), answer.text
    if bomb.startswith("deep "):
        assert answer.json()["errors"][0]["extensions"]["limit"] in {limits.DEEPEST, limits.DEEPEST_SCHEMA}
    assert len(answer.content) < 10_000
    assert "data" not in answer.json()
    assert "Traceback" not in answer.text
    ask(user, "{ queueStatus { paused } }")


@pytest.mark.parametrize(
    "document",
    [
        "{ queueStatus { " + "paused " * 490 + "} }",
        "{ " + " ".join("queueStatus { totals { total } }" for _ in range(120)) + " }",
        "{ " + " ".join(f"a{n}: queueStatus {{ totals {{ total }} }}" for n in range(20)) + " }",
        "{ a: __schema { types { fields { type { fields { name type { name } } } } } } }",
        get_introspection_query(),
        "{ runs(limit: 200) { items { id name status config progress { total percentComplete } createdAt finishedAt } } }",
        "{ runs(limit: 20) { items { recentTasks(limit: 10) { id status } progress { byModel(limit: 10) { model total } } } } }",
        "query a { queueStatus { paused } }",
    ],
)
def test_what_is_within_the_limits_is_answered_soon(greenroom_on_sqlite: Served, document: str) -> None:
    """The largest documents that are let in, and those of common tools, take a moment."""
    user = greenroom_on_sqlite.user("ann")
    ask(user, "{ queueStatus { paused } }")
    started = time.monotonic()
    answer = post(user, document)
    assert (answer.status_code, "errors" in answer.json()) == (200, False), answer.text
    assert time.monotonic() - started < SOON_SECONDS


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('[{"query":"{ queueStatus { paused } }"}]', 400),
        ("[]", 400),
        ('{"query":"{ queueStatus { paused } }","extensions":{}}', 400),
        ('{"query":"{ queueStatus { paused } }","operationName":"other"}', 400),
        ('{"query":"query a { queueStatus { paused } } query b { queueStatus { paused } }"}', 400),
        ('{"query":"subscription { queueStatus { paused } }"}', 400),
        ('{"query":"{ queueStatus { paused } ... @defer { paused } }"}', 400),
        ('{"query":""}', 400),
        ('{"query":"{"}', 400),
        ('{"query":"{ nothing }"}', 400),
        ('{"query":null}', 400),
        ('{"query":"{ queueStatus { paused } }","query":"{ queueStatus { paused } }"}', 400),
        ('{"variables":{}}', 400),
        ('{"query":"{ queueStatus { paused } }","variables":[]}', 400),
        ('{"query":"query ($n: Int!) { runs(limit: $n) { nextCursor } }","variables":{"n":"x"}}', 400),
        ('{"query":"query ($n: Int!) { runs(limit: $n) { nextCursor } }"}', 400),
        ('{"query":"{ job(id: \\"\\\\u0000\\") { id } }"}', 400),
        ('{"query":"{ jobs(tag: \\"a\\\\u{0}\\") { nextCursor } }"}', 400),
        ('{"query":"{ jobs(tag: \\"\\\\ud800\\") { nextCursor } }"}', 400),
        ('{"query":"query ($t: String) { jobs(tag: $t) { nextCursor } }","variables":{"t":"\\u0000"}}', 400),
        ('{"query":"{ queueStatus { paused } }","variables":' + "[" * 500 + "]" * 500 + "}", 400),
        ('{"query":"' + "#" * endpoint.DOCUMENT_BYTES + '"}', 413),
    ],
)
def test_other_bodies_are_refused(greenroom_on_sqlite: Served, body: str, status: int) -> None:
    """A batch, what is no document, what nobody asked for and what is too large: REST's problem, with GraphQL's errors in it."""
    user = greenroom_on_sqlite.user("ann")
    answer = user.post(f"{greenroom_on_sqlite.url}/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(codes(answer)) == {"VALIDATION" if status == 400 else "PAYLOAD_TOO_LARGE"}
    assert answer.json().get("code", codes(answer)[0]) == codes(answer)[0]
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        (lambda client, url: client.get(url, params={"query": "{ queueStatus { paused } }"}), 405, "METHOD_NOT_ALLOWED"),
        (lambda client, url: client.get(url, headers={"Accept": "text/html"}), 405, "METHOD_NOT_ALLOWED"),
        (
            lambda client, url: client.get(url, headers={"Upgrade": "websocket", "Connection": "Upgrade"}),
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (lambda client, url: client.put(url, json={"query": "{ queueStatus { paused } }"}), 405, "METHOD_NOT_ALLOWED"),
        (lambda client, url: client.post(url, data={"query": "{ queueStatus { paused } }"}), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (lambda client, url: client.post(url, files={"operations": b"{}", "map": b"{}"}), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (lambda client, url: client.post(url, content="{ queueStatus { paused } }"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_there_is_one_way_in(
    greenroom_on_sqlite: Served, send: Callable[[httpx.Client, str], httpx.Response], status: int, code: str
) -> None:
    """No queries in addresses, no page, no sockets, no forms and no uploads: documents come in a POST of JSON."""
    answer = send(greenroom_on_sqlite.user("ann"), f"{greenroom_on_sqlite.url}/graphql")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_without_a_key_nobody_sees_the_schema(greenroom_on_sqlite: Served) -> None:
    """No key and a wrong one give the 401 of every other route; nothing is parsed for them."""
    clients = [greenroom_on_sqlite.client(), greenroom_on_sqlite.client("gr_zzzzzzzzzzzz_wrong"), greenroom_on_sqlite.client("x")]
    answers = [post(client, document) for client in clients for document in (get_introspection_query(), "{")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert (answers[0].json()["code"], codes(answers[0])) == ("UNAUTHENTICATED", ["UNAUTHENTICATED"])
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


def test_a_refused_mutation_does_nothing(greenroom: Served) -> None:
    """A document with one thing too many is not begun."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = ann.post("/runs", json={"name": "n", "jobs": [{"type": "tests.echo", "payload": {}}]}).json()["id"]
    many = " ".join(f'a{n}: cancelRun(id: "{run}") {{ id }}' for n in range(21))
    assert post(ann, f"mutation {{ {many} }}").status_code == 400
    assert post(ann, f'mutation {{ cancelRun(id: "{run}") {{ id }} nothing }}').status_code == 400
    assert ann.get(f"/runs/{run}").json()["status"] == "pending"
    assert stage.rows("runs") == 1
