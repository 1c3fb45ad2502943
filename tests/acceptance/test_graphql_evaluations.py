"""D11: runs of evaluations started over GraphQL, as REST would start them."""

from typing import Any

import httpx
import pytest

from persistence.ids import new_id
from tests.acceptance.documents import ask, codes, post
from tests.acceptance.served import ECHO, Served
from tests.acceptance.stage import Stage, items

START = """mutation ($input: StartRunInput!) { startRun(input: $input) {
    id name status config progress { total queued byModel { model total } } recentTasks { id } } }"""


@pytest.fixture
def _endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name an endpoint of models; nobody asks it here."""
    monkeypatch.setenv("GREENROOM_LLM_URL", "http://127.0.0.1:9/v1")


def define(client: httpx.Client, scenarios: int = 4) -> str:
    """Define scenarios."""
    asked = [{"prompt": f"What is {n} and {n}?"} for n in range(scenarios)]
    answer = client.post("/evaluations/definitions", json={"name": "sums", "scenarios": asked})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


@pytest.mark.usefixtures("_endpoint")
def test_d11_start_a_run_of_an_evaluation(greenroom: Served) -> None:
    """Each model is asked each sampled scenario, exactly as when REST is asked for the same."""
    ann = greenroom.user("ann")
    definition = define(ann)
    asked = {
        "definitionId": definition,
        "models": ["small", "large"],
        "samplePercentage": 50,
        "sampleSeed": 7,
        "priority": "HIGH",
        "experimentId": "e-1",
    }
    run = ask(ann, START, input=asked)["startRun"]
    same = {"sample_percentage": 50, "sample_seed": 7, "priority": "high", "experiment_id": "e-1"}
    rest = ann.post("/evaluations/runs", json={"definition": definition, "models": ["small", "large"], **same}).json()

    assert (run["name"], run["status"], run["config"]) == ("sums", "pending", rest["config"])
    assert run["progress"]["total"] == rest["progress"]["total"] == 6
    assert run["progress"]["byModel"] == [{"model": model, "total": 2} for model in ("large", "small")]
    assert {job["priority"] for job in items(ann, "/jobs", run=run["id"])} == {10}
    low = ask(ann, START, input={"definitionId": definition, "models": ["m"], "priority": "LOW"})["startRun"]
    assert low["progress"]["total"] == 6
    assert {job["priority"] for job in items(ann, "/jobs", run=low["id"])} == {0}


@pytest.mark.usefixtures("_endpoint")
def test_d11_a_run_that_cannot_be_is_not_begun(greenroom: Served) -> None:
    """What REST refuses is refused with the same code and GraphQL's name of the field, and nothing is created."""
    ann, bob, stage = greenroom.user("ann"), greenroom.user("bob"), Stage(greenroom.database)
    good: dict[str, Any] = {"definitionId": define(ann), "models": ["m"]}
    wrong: list[tuple[dict[str, Any], str, str | None]] = [
        ({"models": []}, "VALIDATION", "models"),
        ({"models": ["m", "m"]}, "VALIDATION", "models"),
        ({"samplePercentage": 0}, "VALIDATION", "samplePercentage"),
        ({"samplePercentage": 101}, "VALIDATION", "samplePercentage"),
        ({"experimentId": ""}, "VALIDATION", "experimentId"),
        ({"definitionId": new_id()}, "NOT_FOUND", None),
        ({"definitionId": "nonsense"}, "NOT_FOUND", None),
    ]
    for change, code, field in wrong:
        answer = post(ann, START, input=good | change)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["extensions"]["code"], error["extensions"].get("field")) == (200, code, field), (
            answer.text
        )
        assert answer.json()["data"] == {"startRun": None}
    nonsense: list[dict[str, Any]] = [
        {"priority": "URGENT"},
        {"unknown": 1},
        {"models": None},
        {"models": [1]},
        {"sampleSeed": 0.5},
    ]
    for change in nonsense:
        assert post(ann, START, input=good | change).status_code == 400
    foreign, missing = (post(bob, START, input=good | {"definitionId": id}) for id in (good["definitionId"], new_id()))
    assert foreign.content == missing.content
    assert stage.rows("runs") == stage.rows() == 0
    assert stage.rows("evaluation_definitions") == 1


def test_d11_without_an_endpoint_nothing_can_be_evaluated(greenroom_on_sqlite: Served) -> None:
    """REST's refusal, with its code."""
    ann = greenroom_on_sqlite.user("ann")
    assert codes(post(ann, START, input={"definitionId": define(ann), "models": ["m"]})) == ["NOT_CONFIGURED"]


@pytest.mark.usefixtures("_endpoint")
def test_d11_submissions_a_minute_count_together(greenroom_on_sqlite: Served) -> None:
    """A run that is started here counts like one that is started over REST, by alias or not."""
    ann = greenroom_on_sqlite.user("ann", tier="free")
    definition = define(ann, scenarios=1)
    one = f'startRun(input: {{definitionId: "{definition}", models: ["m"]}}) {{ id }}'
    answers = [post(ann, "mutation { " + " ".join(f"a{n}: {one}" for n in range(20)) + " }") for _ in range(3)]
    # 60 a minute, of which the definition was one; the tier has no room for a run of three jobs.
    assert [code for answer in answers for code in codes(answer)] == ["CONCURRENT_JOB_LIMIT"] * 59 + ["RATE_LIMITED"]
    extensions = answers[-1].json()["errors"][-1]["extensions"]
    assert 1 <= extensions.pop("retryAfter") <= 60
    assert extensions == {"code": "RATE_LIMITED", "status": 429, "limit": 60}
    assert ann.post("/jobs", json={"type": ECHO, "payload": {}}).status_code == 429
