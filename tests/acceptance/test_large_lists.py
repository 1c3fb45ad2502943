"""Lists of large things: each page has a bounded size over REST, and a document of GraphQL a bounded one in all."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.graphql.budget import MOST_BYTES
from persistence.pages import PAGE_BYTES
from tests.acceptance.documents import ask, codes, post
from tests.acceptance.served import Served
from tests.acceptance.stage import ECHO, Stage, items, submit

# Nearly as large as the largest tier allows: a page has room for four, and for what little there is beside them.
SIZE = 1024 * 1024 - 4096
LARGE = {"x": "x" * (SIZE - len('{"x":""}'))}
ON_A_PAGE = PAGE_BYTES // SIZE


def start(client: httpx.Client, **words: Any) -> str:
    """Start a run of one job with a large config."""
    answer = client.post("/runs", json={"name": "n", "config": LARGE, "jobs": [{"type": ECHO, "payload": {}}], **words})
    assert answer.status_code == 202, answer.text
    run: str = answer.json()["id"]
    return run


def fail(client: httpx.Client, stage: Stage) -> str:
    """Have a large job fail for good; give the id of its dead letter."""
    submit(client, LARGE)
    stage.fail(stage.take_one())
    newest: str = client.get("/dead-letters", params={"limit": 1}).json()["items"][0]["id"]
    return newest


def schedule(client: httpx.Client) -> str:
    """Enter a schedule with a large payload."""
    answer = client.post("/schedules", json={"type": ECHO, "payload": LARGE, "cron": "0 3 * * *"})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


@pytest.mark.parametrize("path", ["/runs", "/dead-letters", "/schedules"])
def test_a_page_of_large_things_ends_early(greenroom: Served, path: str) -> None:
    """A page holds 4 MiB of them though more are asked for, its cursor leads to the rest, and each is there once."""
    ann, stage = greenroom.user("ann", tier="enterprise"), Stage(greenroom.database)
    makes: dict[str, Callable[[], str]] = {
        "/runs": lambda: start(ann),
        "/dead-letters": lambda: fail(ann, stage),
        "/schedules": lambda: schedule(ann),
    }
    made = [makes[path]() for _ in range(ON_A_PAGE + 2)]

    first = ann.get(path, params={"limit": 200})

    assert len(first.content) < PAGE_BYTES + 10_000
    assert [row["id"] for row in first.json()["items"]] == made[: -ON_A_PAGE - 1 : -1]
    assert [row["id"] for row in items(ann, path, limit=200)] == made[::-1]


def test_recent_tasks_are_as_many_as_fit(greenroom: Served) -> None:
    """Of large tasks those that finished last are shown, 4 MiB of them, over REST and over GraphQL."""
    ann, stage = greenroom.user("ann", tier="enterprise"), Stage(greenroom.database)
    run = start(ann, jobs=[{"type": ECHO, "payload": LARGE}] * (ON_A_PAGE + 1))
    taken = stage.take(ON_A_PAGE + 1)
    for one in taken:
        stage.complete(one, "1")
    last = [one.id for one in taken[: -ON_A_PAGE - 1 : -1]]

    shown = ann.get(f"/runs/{run}/tasks", params={"limit": 200}).json()
    asked = ask(ann, f'{{ run(id: "{run}") {{ recentTasks(limit: 200) {{ id }} }} }}')

    assert ([task["id"] for task in shown["items"]], shown["next_cursor"]) == (last, None)
    assert [task["id"] for task in asked["run"]["recentTasks"]] == last


def test_aliases_do_not_multiply_pages(greenroom: Served) -> None:
    """Pages of GraphQL end as REST's do; once one has come to 16 MiB in all, those after it are null, and the error says why."""
    ann = greenroom.user("ann", tier="enterprise")
    runs = [start(ann) for _ in range(ON_A_PAGE + 1)]
    page = "runs { nextCursor items { id config } }"

    found = ask(ann, "{ runs { nextCursor items { id } } }")["runs"]
    rest = ask(ann, "query ($cursor: String) { runs(cursor: $cursor) { nextCursor items { id } } }", cursor=found["nextCursor"])
    answer = post(ann, "{ " + " ".join(f"p{number}: {page}" for number in range(6)) + " }")

    assert [run["id"] for run in found["items"] + rest["runs"]["items"]] == runs[::-1]
    assert rest["runs"]["nextCursor"] is None
    assert len(answer.content) < MOST_BYTES + PAGE_BYTES
    shown = [page and len(page["items"]) for page in answer.json()["data"].values()]
    assert (answer.status_code, shown) == (200, [ON_A_PAGE] * 5 + [None])
    assert codes(answer) == ["VALIDATION"]
    assert answer.json()["errors"][0]["extensions"]["limit"] == MOST_BYTES


def test_aliases_do_not_multiply_a_value(greenroom_on_sqlite: Served) -> None:
    """A value that is shown under another name is counted again."""
    ann = greenroom_on_sqlite.user("ann", tier="enterprise")
    job = submit(ann, LARGE)["id"]
    names = [f"p{number}" for number in range(19)]

    answer = post(ann, f'{{ job(id: "{job}") {{ payload {" ".join(f"{name}: payload" for name in names)} }} }}')

    assert len(answer.content) < MOST_BYTES + SIZE + 10_000
    assert list(answer.json()["data"]["job"].values()) == [LARGE] * 17 + [None] * 3
    assert codes(answer) == ["VALIDATION"] * 3


def test_a_mutation_that_is_refused_for_its_size_was_not_done(greenroom_on_sqlite: Served) -> None:
    """What the budget has no room for is refused before it is done."""
    ann = greenroom_on_sqlite.user("ann", tier="enterprise")
    run = start(ann)
    steps = [f'm{number}: {("pauseRun", "resumeRun")[number % 2]}(id: "{run}") {{ status }}' for number in range(18)]

    answer = post(ann, "mutation { " + " ".join(steps) + " }")

    assert [step and step["status"] for step in answer.json()["data"].values()] == ["paused", "pending"] * 8 + ["paused", None]
    assert ann.get(f"/runs/{run}").json()["status"] == "paused"
