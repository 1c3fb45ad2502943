"""Evaluations over HTTP: what is asked for is there whole or not at all, and what cannot be asked for is refused."""

from typing import Any

import httpx
import msgspec
import pytest

from persistence.dependencies import settle
from persistence.evaluations import BASIC, DEEP, PROBE, sampled
from persistence.ids import new_id
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, items

SCENARIOS = [{"prompt": f"What is {n} and {n}?", "expected": str(2 * n)} for n in range(10)]


@pytest.fixture(autouse=True)
def _endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name an endpoint; nobody asks it here."""
    monkeypatch.setenv("GREENROOM_LLM_URL", "http://127.0.0.1:9/v1")


@pytest.fixture
def ann(greenroom: Served) -> httpx.Client:
    """A user."""
    return greenroom.user("ann", tier="enterprise")


def define(client: httpx.Client, scenarios: list[dict[str, Any]] = SCENARIOS, **words: Any) -> dict[str, Any]:
    """Define scenarios that have to be accepted."""
    answer = client.post("/evaluations/definitions", json={"name": "sums", "scenarios": scenarios} | words)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/evaluations/definitions/{made['id']}"
    return made


def start(client: httpx.Client, definition: dict[str, Any], *models: str, **words: Any) -> dict[str, Any]:
    """Start a run that has to be accepted."""
    answer = client.post("/evaluations/runs", json={"definition": definition["id"], "models": models, **words})
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}"
    return run


def test_definitions(ann: httpx.Client, greenroom: Served) -> None:
    """A definition is kept as it was given, listed by its owner, and nobody else's business."""
    made = define(ann, [{"prompt": "Say hello.", "name": "greeting"}, {"prompt": "2+2?", "expected": "4"}])
    expected = [{"prompt": "Say hello.", "expected": None, "name": "greeting"}, {"prompt": "2+2?", "expected": "4", "name": None}]
    assert (made["name"], made["scenario_count"], made["scenarios"]) == ("sums", 2, expected)
    assert ann.get(f"/evaluations/definitions/{made['id']}").json() == made
    second = define(ann)
    listed = items(ann, "/evaluations/definitions", limit=1)
    assert [one["id"] for one in listed] == [second["id"], made["id"]]
    assert "scenarios" not in listed[0]
    bob = greenroom.user("bob")
    assert items(bob, "/evaluations/definitions") == []
    foreign = bob.post("/evaluations/runs", json={"definition": made["id"], "models": ["a"]})
    missing = bob.post("/evaluations/runs", json={"definition": new_id(), "models": ["a"]})
    assert (foreign.status_code, foreign.content) == (404, missing.content)
    assert bob.get(f"/evaluations/definitions/{made['id']}").content == missing.content


def test_d1_d2_a_run_of_every_model_and_scenario(ann: httpx.Client) -> None:
    """D1, D2: a typed probe for each model and scenario, then both analyses, which wait for them; the definition is kept."""
    made = define(ann)
    run = start(ann, made, "small", "large", priority="high", experiment_id="e-1")
    assert (run["name"], run["status"], run["on_failure"], run["progress"]["total"]) == ("sums", "pending", "continue", 22)
    config = run["config"]
    assert config["definition"] == {"id": made["id"], "name": "sums", "scenarios": made["scenarios"]}
    assert (config["models"], config["experiment_id"], config["sampled"]) == (["small", "large"], "e-1", list(range(10)))
    jobs = items(ann, "/jobs", run=run["id"])
    probes = [job for job in jobs if job["type"] == PROBE]
    asked = {(job["payload"]["model"], job["payload"]["scenario"], job["payload"]["prompt"]) for job in probes}
    assert asked == {(model, n, SCENARIOS[n]["prompt"]) for model in ("small", "large") for n in range(10)}
    assert all(job["payload"]["expected"] == str(2 * job["payload"]["scenario"]) for job in probes)
    analyses = {job["type"]: job for job in jobs if job["type"] != PROBE}
    assert {type: (job["waiting_for"], job["payload"]) for type, job in analyses.items()} == {
        BASIC: ("dependency", {"run": run["id"]}),
        DEEP: ("dependency", {"run": run["id"]}),
    }
    assert {job["priority"] for job in jobs} == {10}
    schemas = {kind["name"]: kind["payload"] for kind in ann.get("/job-types").json()["items"]}
    assert all(msgspec.json.encode(schemas[kind]).count(b"properties") for kind in (PROBE, BASIC, DEEP))


def test_d2_sampling_is_the_same_every_time(ann: httpx.Client) -> None:
    """D2: percentage and seed choose the scenarios, alike in every run and for every model; other seeds choose others."""
    made = define(ann)

    def chosen(**words: Any) -> dict[str, list[int]]:
        run = start(ann, made, "a", "b", sample_percentage=30, **words)
        probes = items(ann, "/jobs", run=run["id"], type=PROBE)
        found = {
            model: sorted(job["payload"]["scenario"] for job in probes if job["payload"]["model"] == model)
            for model in ("a", "b")
        }
        assert found["a"] == found["b"] == run["config"]["sampled"]
        return found

    first = chosen(sample_seed=7)
    assert len(first["a"]) == 3
    assert chosen(sample_seed=7) == first
    assert any(chosen(sample_seed=seed) != first for seed in range(5))


def test_d2_what_a_seed_means_stays() -> None:
    """D2: the choice is the same in every version; a larger share takes more of the same order, and a tiny one takes one."""
    assert sampled(20, percentage=25, seed=42) == sampled(20, percentage=25.0, seed=42) == [0, 1, 6, 11, 13]
    for share in (10, 30, 55, 80):
        assert set(sampled(200, percentage=share, seed=1)) < set(sampled(200, percentage=share + 10, seed=1))
        assert len(sampled(200, percentage=share, seed=1)) == 2 * share
    assert len(sampled(10, percentage=0.001, seed=3)) == 1
    assert sampled(3, percentage=100, seed=9) == [0, 1, 2]


def test_d3_progress_by_model(ann: httpx.Client, greenroom: Served) -> None:
    """D3: the run counts by model, the analyses begin when the last probe is over, and then the run completes."""
    stage = Stage(greenroom.database)
    run = start(ann, define(ann, SCENARIOS[:2]), "a", "b")
    for number, taken in enumerate(stage.take(10)):
        assert taken.type == PROBE
        if number == 0:
            stage.fail(taken)
        else:
            stage.complete(taken)
    found = ann.get(f"/runs/{run['id']}").json()
    by_model = found["progress"]["by_model"]
    assert {model: (one["total"], one["completed"], one["failed"]) for model, one in by_model.items()} == {
        "a": (2, 1, 1),
        "b": (2, 2, 0),
    }
    assert found["status"] == "running"
    with greenroom.database.write() as session:
        settle(session)
    analyses = stage.take(10)
    assert {taken.type for taken in analyses} == {BASIC, DEEP}
    for taken in analyses:
        stage.complete(taken)
    assert ann.get(f"/runs/{run['id']}").json()["status"] == "completed"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"models": []}, "models"),
        ({"models": ["a", "b", "a"]}, "models"),
        ({"models": [""]}, "models[0]"),
        ({"models": ["a", " a"]}, "models[1]"),
        ({"models": ["x" * 95]}, "models[0]"),
        ({"models": [f"m{n}" for n in range(101)]}, "models"),
        ({"sample_percentage": 0}, "sample_percentage"),
        ({"sample_percentage": -1}, "sample_percentage"),
        ({"sample_percentage": 100.1}, "sample_percentage"),
        ({"sample_percentage": "half"}, "sample_percentage"),
        ({"sample_seed": 2**60}, "sample_seed"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": 11}, "priority"),
        ({"experiment_id": ""}, "experiment_id"),
        ({"experiment": "e"}, None),
    ],
)
def test_runs_that_cannot_be(ann: httpx.Client, greenroom: Served, wrong: dict[str, Any], field: str | None) -> None:
    """A 400 names the field, and nothing is left behind."""
    body = {"definition": define(ann)["id"], "models": ["a"]} | wrong
    answer = ann.post("/evaluations/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
    assert answer.json().get("field", "").startswith(field or "")
    assert field is None or field.split("[")[0] in answer.json()["detail"]
    stage = Stage(greenroom.database)
    assert (stage.rows("jobs"), stage.rows("runs")) == (0, 0)


def test_more_jobs_than_a_run_takes(ann: httpx.Client, greenroom: Served) -> None:
    """A run of more than 10,000 jobs is refused with the numbers and the way out; one of exactly as many is accepted."""
    made = define(ann, [{"prompt": f"{n}"} for n in range(4_999)])
    refused = ann.post("/evaluations/runs", json={"definition": made["id"], "models": ["a", "b", "c"]})
    assert refused.status_code == 400
    assert {"code": "VALIDATION", "field": "models", "limit": 10_000}.items() <= refused.json().items()
    assert "14999" in refused.json()["detail"]
    assert Stage(greenroom.database).rows("runs") == 0
    assert start(ann, made, "a", "b")["progress"]["total"] == 10_000


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scenarios": []}, "scenarios"),
        ({"scenarios": [{"expected": "4"}]}, "scenarios[0]"),
        ({"scenarios": [{"prompt": ""}]}, "scenarios[0].prompt"),
        ({"scenarios": [{"prompt": "a", "expected": ""}]}, "scenarios[0].expected"),
        ({"scenarios": [{"prompt": "a", "weight": 2}]}, "scenarios[0]"),
        ({"scenarios": [{"prompt": "a"}] * 10_001}, "scenarios"),
        ({"scenarios": [{"prompt": " "}]}, "scenarios[0].prompt"),
        ({"scenarios": [{"prompt": "a", "name": "one"}, {"prompt": "b", "name": "one"}]}, "scenarios[1].name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
    ],
)
def test_definitions_that_cannot_be(ann: httpx.Client, wrong: dict[str, Any], field: str) -> None:
    """A 400 names the field."""
    answer = ann.post("/evaluations/definitions", json={"name": "sums", "scenarios": SCENARIOS} | wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
    assert answer.json()["field"] == field
    assert items(ann, "/evaluations/definitions") == []


def test_a_definition_too_large_for_the_tier(greenroom: Served) -> None:
    """Scenarios are no larger than a payload of the tier may be."""
    ann = greenroom.user("ann", tier="free")
    answer = ann.post("/evaluations/definitions", json={"name": "sums", "scenarios": [{"prompt": "x" * 70_000}]})
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "PAYLOAD_TOO_LARGE", 65_536)


def test_a_run_too_large_for_the_tier(greenroom: Served) -> None:
    """A run that `max_active` has no room for is refused whole."""
    ann = greenroom.user("ann", tier="free")
    answer = ann.post("/evaluations/runs", json={"definition": define(ann)["id"], "models": ["a"]})
    assert (answer.status_code, answer.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert Stage(greenroom.database).rows("runs") == 0


def test_without_an_endpoint(ann: httpx.Client, greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no endpoint is set a run is refused with the setting's name; definitions can be made all the same."""
    monkeypatch.delenv("GREENROOM_LLM_URL")
    answer = ann.post("/evaluations/runs", json={"definition": define(ann)["id"], "models": ["a"]})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["setting"]) == (409, "NOT_CONFIGURED", "GREENROOM_LLM_URL")
    assert "GREENROOM_LLM_URL" in problem["detail"]
    stage = Stage(greenroom.database)
    assert (stage.rows("jobs"), stage.rows("runs")) == (0, 0)
