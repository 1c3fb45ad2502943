"""D11: runs, jobs and the queue over GraphQL, by the same rules as over REST."""

from typing import Any

import httpx
import pytest

from persistence.errors import DatabaseUnavailableError
from persistence.ids import new_id
from tests.acceptance.documents import ask, codes, post
from tests.acceptance.security import tokens
from tests.acceptance.served import Served, served
from tests.acceptance.stage import ECHO, Stage, items, submit

COUNTS = "total queued processing completed failed cancelled percentComplete"
RUN = f"""query ($id: ID!, $limit: Int = 50) {{ run(id: $id) {{
    id name status config onFailure createdAt startedAt pausedAt finishedAt cancelledAt user
    progress {{ {COUNTS} byModel {{ model {COUNTS} }} }}
    recentTasks(limit: $limit) {{ id type status tags result }}
}} }}"""
QUEUE = """{ queueStatus { paused pauses { type user queue } totals { total queued completed }
    byType { type total queued processing completed failed cancelled } workers { id name queues threads startedAt beatAt } } }"""


def start(client: httpx.Client, *jobs: dict[str, Any], **words: Any) -> str:
    """Start a run over REST."""
    asked = [{"type": ECHO, "payload": {}} | job for job in jobs]
    answer = client.post("/runs", json={"name": "nightly", "jobs": asked, **words})
    assert answer.status_code == 202, answer.text
    run: str = answer.json()["id"]
    return run


def change(client: httpx.Client, what: str, run: str) -> str:
    """Do something to a run; give how it stands, or the error's code."""
    answer = post(client, f"mutation ($id: ID!) {{ {what}(id: $id) {{ id status }} }}", id=run)
    assert answer.status_code == 200, answer.text
    if answer.json()["data"][what] is None:
        (code,) = codes(answer)
        return code
    status: str = answer.json()["data"][what]["status"]
    return status


def test_d11_a_run_with_its_progress_and_recent_tasks(greenroom: Served) -> None:
    """What REST says of a run GraphQL says, too, in camelCase and with lists for maps."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    config = {"seed": 7, "nested": [1, {"a": None}]}
    run = start(ann, {"tags": ["model:b"]}, {"tags": ["model:a"]}, {"tags": ["model:b"]}, config=config)
    first, second = stage.take(2)
    stage.complete(first, '{"n": 12345678901234567890}')
    stage.fail(second)

    shown = ask(ann, RUN, id=run)["run"]

    rest = ann.get(f"/runs/{run}").json()
    progress = shown.pop("progress")
    by_model = rest["progress"].pop("by_model")
    assert progress.pop("byModel") == [{"model": model} | camel(by_model[model]) for model in ("a", "b")]
    assert progress == camel(rest["progress"])
    tasks = shown.pop("recentTasks")
    assert [(task["id"], task["status"]) for task in tasks] == [(second.id, "failed"), (first.id, "completed")]
    assert tasks[1]["result"] == {"n": 12345678901234567890}
    assert [task["id"] for task in ask(ann, RUN, id=run, limit=1)["run"]["recentTasks"]] == [second.id]
    del rest["progress"]
    names = {"on_failure": "onFailure"} | {
        f"{word}_at": f"{word}At" for word in ("created", "started", "paused", "finished", "cancelled")
    }
    assert shown == {names.get(name, name): value for name, value in rest.items()}


def camel(counts: dict[str, Any]) -> dict[str, Any]:
    """Name REST's counts as GraphQL does."""
    return {"percentComplete" if name == "percent" else name: value for name, value in counts.items()}


def test_d11_runs_are_listed_page_by_page(greenroom: Served) -> None:
    """The newest first, with progress by model for who asks, and a cursor for the next page."""
    ann = greenroom.user("ann")
    runs = [start(ann, {"tags": [f"model:m{number}"]}) for number in range(3)]
    query = """query ($cursor: String) { runs(limit: 2, cursor: $cursor) {
        nextCursor items { id progress { queued byModel { model queued } } } } }"""
    first = ask(ann, query)["runs"]
    second = ask(ann, query, cursor=first["nextCursor"])["runs"]
    assert [run["id"] for run in first["items"] + second["items"]] == runs[::-1]
    assert [run["progress"]["byModel"] for run in second["items"]] == [[{"model": "m0", "queued": 1}]]
    assert second["nextCursor"] is None
    wrong = post(ann, query, cursor="nonsense")
    assert (codes(wrong), wrong.json()["errors"][0]["extensions"]["field"]) == (["VALIDATION"], "cursor")


def test_d11_pause_resume_and_cancel_a_run(greenroom: Served) -> None:
    """Each does what REST does, and what does not fit how the run stands is refused with REST's code."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    run = start(ann, {}, {})
    assert change(ann, "resumeRun", run) == "ILLEGAL_TRANSITION"
    assert change(ann, "pauseRun", run) == "paused"
    assert stage.take(2) == []
    assert change(ann, "pauseRun", run) == "ILLEGAL_TRANSITION"
    assert change(ann, "resumeRun", run) == "pending"
    stage.complete(stage.take_one())
    assert change(ann, "cancelRun", run) == "cancelled"
    assert change(ann, "cancelRun", run) == "cancelled"
    counts = ask(ann, RUN, id=run)["run"]["progress"]
    assert (counts["completed"], counts["cancelled"], counts["percentComplete"]) == (1, 1, 100.0)


def test_d11_the_queue_is_the_operator_s(greenroom: Served) -> None:
    """An operator pauses and resumes all of it or a scope, again and again; a user is FORBIDDEN and sees their own counts."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    submit(greenroom.user("bob"))
    submit(ann)
    pause = "mutation ($input: QueueScope) { pauseQueue(input: $input) { paused pauses { type user queue } } }"
    resume = "mutation ($input: QueueScope) { resumeQueue(input: $input) { paused pauses { type user queue } } }"
    for what in (pause, resume):
        answer = post(ann, what)
        assert (answer.status_code, codes(answer)) == (200, ["FORBIDDEN"])

    assert ask(greenroom.admin, pause)["pauseQueue"]["paused"]
    assert ask(greenroom.admin, pause)["pauseQueue"]["paused"]
    assert stage.take(2) == []
    assert ask(ann, QUEUE)["queueStatus"]["paused"]
    assert ask(greenroom.admin, resume)["resumeQueue"] == {"paused": False, "pauses": []}
    scoped = ask(greenroom.admin, pause, input={"type": ECHO, "user": "ann"})["pauseQueue"]
    assert (scoped["paused"], [(one["type"], one["queue"]) for one in scoped["pauses"]]) == (False, [(ECHO, None)])
    (taken,) = stage.take(2)
    assert ask(greenroom.admin, resume, input={"type": ECHO, "user": "ann"})["resumeQueue"]["pauses"] == []

    status = ask(ann, QUEUE)["queueStatus"]
    assert status["totals"] == {"total": 1, "queued": 1, "completed": 0}
    zero = {"processing": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert status["byType"] == [{"type": ECHO, "total": 1, "queued": 1, **zero}]
    seen = ask(greenroom.admin, QUEUE)["queueStatus"]
    assert seen["byType"][0]["total"] == 2
    rest = greenroom.admin.get("/queue").json()["workers"]
    assert [worker["beatAt"] for worker in seen["workers"]] == [worker["beat_at"] for worker in rest]
    assert taken.user_id != ann.get("/jobs").json()["items"][0]["user"]


def test_d11_a_scope_is_checked(greenroom_on_sqlite: Served) -> None:
    """An empty word, an unknown user and a word that is none pause nothing."""
    pause = "mutation ($input: QueueScope) { pauseQueue(input: $input) { paused } }"
    admin = greenroom_on_sqlite.admin
    wrong = {"VALIDATION": {"type": ""}, "NOT_FOUND": {"user": "nobody"}}
    assert {code: codes(post(admin, pause, input=scope)) for code, scope in wrong.items()} == {code: [code] for code in wrong}
    assert post(admin, pause, input={"run": "x"}).status_code == 400
    assert admin.get("/queue").json()["pauses"] == []


def test_d11_jobs(greenroom: Served) -> None:
    """A job has all that REST shows of it, alone and in a list with REST's filters."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    failed = submit(ann, {"n": [1, 2.5, None]}, tags=["x"], priority="high")
    stage.fail(stage.take_one())
    submit(ann)
    query = """query ($id: ID!) { job(id: $id) {
        id type queue status priority payload result error { type message retryable attempt } progress { percent note }
        attempt maxAttempts: maxAttempts waitingFor position runAfter createdAt dispatchedAt startedAt finishedAt worker run
        tags files { name mediaType bytes } user tenant } }"""
    shown = ask(ann, query, id=failed["id"])["job"]
    rest = ann.get(f"/jobs/{failed['id']}").json()
    assert list(shown.values()) == list(rest.values())
    assert [name.lower() for name in shown] == [name.replace("_", "") for name in rest]
    listed = 'query { jobs(status: failed, type: "tests.echo", tag: "x") { items { id status } nextCursor } }'
    assert ask(ann, listed)["jobs"] == {"items": [{"id": failed["id"], "status": "failed"}], "nextCursor": None}
    assert ask(ann, '{ jobs(run: "nonsense") { items { id } } }')["jobs"]["items"] == []


@pytest.mark.parametrize("relation", ["another tenant's", "a colleague's"])
def test_d11_what_is_somebody_else_s_does_not_exist(greenroom: Served, relation: str) -> None:
    """Another's run or job gives, to the byte, what nonsense and an id of nobody give, and nothing happens to it."""
    me, them = greenroom.user("me"), greenroom.user("them", tenant="globex" if "tenant" in relation else "acme")
    run = start(them, {"tags": ["model:a"]})
    (job,) = items(them, "/jobs")
    documents = ["query ($id: ID!) { run(id: $id) { id } }", "query ($id: ID!) { job(id: $id) { id } }"]
    documents += [f"mutation ($id: ID!) {{ {what}(id: $id) {{ id }} }}" for what in ("pauseRun", "resumeRun", "cancelRun")]
    for document in documents:
        answers = [post(me, document, id=id) for id in (run, job["id"], new_id(), "nonsense", "")]
        assert {answer.content for answer in answers} == {answers[0].content}
        assert (answers[0].status_code, codes(answers[0])) == (200, ["NOT_FOUND"])
    assert ask(them, RUN, id=run)["run"]["status"] == "pending"
    seen = ask(
        me, f'{{ runs {{ items {{ id }} }} jobs(run: "{run}") {{ items {{ id }} }} queueStatus {{ totals {{ total }} }} }}'
    )
    assert seen == {"runs": {"items": []}, "jobs": {"items": []}, "queueStatus": {"totals": {"total": 0}}}
    assert change(greenroom.admin, "cancelRun", run) == "cancelled"


def test_d11_one_error_leaves_the_rest(greenroom: Served) -> None:
    """What can be answered is, and the error says for which field it stands."""
    ann = greenroom.user("ann")
    run = start(ann, {})
    answer = post(ann, f'{{ good: run(id: "{run}") {{ id }} bad: run(id: "{new_id()}") {{ id }} }}')
    assert (answer.status_code, answer.json()["data"]) == (200, {"good": {"id": run}, "bad": None})
    (error,) = answer.json()["errors"]
    assert (error["path"], error["extensions"]) == (["bad"], {"code": "NOT_FOUND", "status": 404})


@pytest.mark.parametrize("limit", [0, 201, -1])
def test_d11_lists_have_rest_s_limits(greenroom_on_sqlite: Served, limit: int) -> None:
    """A list has 1 to 200 items."""
    ann = greenroom_on_sqlite.user("ann")
    run = start(ann, {})
    for document in (
        f"{{ runs(limit: {limit}) {{ items {{ id }} }} }}",
        f"{{ jobs(limit: {limit}) {{ items {{ id }} }} }}",
        f'{{ run(id: "{run}") {{ recentTasks(limit: {limit}) {{ id }} }} }}',
        f'{{ run(id: "{run}") {{ progress {{ byModel(limit: {limit}) {{ model }} }} }} }}',
    ):
        answer = post(ann, document)
        assert codes(answer) == ["VALIDATION"]
        assert answer.json()["errors"][0]["extensions"]["limit"] == 200


def test_d11_what_nobody_foresaw_stays_inside(greenroom_on_sqlite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is a 500 that says no more, with the rest of the answer; what it was is in the log."""

    def fail(*_: object) -> None:
        raise RuntimeError("secret-of-the-house")

    ann = greenroom_on_sqlite.user("ann")
    ask(ann, "{ queueStatus { paused } }")
    monkeypatch.setattr("api.job_lists.read_one", fail)
    answer = post(ann, f'{{ job(id: "{new_id()}") {{ id }} queueStatus {{ paused }} }}')
    assert (answer.status_code, codes(answer)) == (500, ["INTERNAL"])
    assert answer.json()["data"] == {"job": None, "queueStatus": {"paused": False}}
    assert "secret" not in answer.text


def test_d11_part_of_an_answer_without_the_database(greenroom_on_sqlite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the database go away in the middle, the status says so, and when to come again."""

    def fail(*_: object) -> None:
        raise DatabaseUnavailableError

    ann = greenroom_on_sqlite.user("ann")
    ask(ann, "{ queueStatus { paused } }")
    monkeypatch.setattr("api.job_lists.read_one", fail)
    answer = post(ann, f'{{ queueStatus {{ paused }} job(id: "{new_id()}") {{ id }} }}')
    assert (answer.status_code, codes(answer)) == (503, ["UNAVAILABLE"])
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["errors"][0]["extensions"]["retryAfter"] == int(answer.headers["retry-after"])


def test_d11_tokens_are_as_good_as_keys(sqlite_database: str) -> None:
    """Who comes with a JSON web token sees what its user sees; a bad one is refused."""
    with served(sqlite_database, jwt=tokens.HS256) as greenroom:
        run = start(greenroom.user("ann"), {})
        assert ask(greenroom.client(tokens.token()), RUN, id=run)["run"]["id"] == run
        assert codes(post(greenroom.client(tokens.token(sub="bob")), RUN, id=run)) == ["NOT_FOUND"]
        assert post(greenroom.client(tokens.token(key="x" * 64)), RUN, id=run).status_code == 401


def test_d11_one_of_several_operations(greenroom_on_sqlite: Served) -> None:
    """A document may have several operations, of which the request names one."""
    ann = greenroom_on_sqlite.user("ann")
    document = "query a { queueStatus { paused } } query b { jobs { nextCursor } }"
    answer = ann.post(f"{greenroom_on_sqlite.url}/graphql", json={"query": document, "operationName": "b", "variables": None})
    assert answer.json() == {"data": {"jobs": {"nextCursor": None}}}
