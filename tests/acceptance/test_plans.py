"""Plans over HTTP: typed validation (E1), approval by a job or at once (E7), and tasks that are written once."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors import INSTALLATION
from actors.job import JobContext
from actors.plans.jobs import create_tasks
from middleware.attempt import Attempt
from persistence.attempts import Ending
from persistence.dispatch import Taken
from persistence.ids import new_id
from tests.acceptance.greenroom_up import Up
from tests.acceptance.served import Served
from tests.acceptance.stage import Stage, items

TYPE = "plans.create_tasks"
GOALS = ["Design the schema, write the migration and then deploy it", "Fix the login page"]
TITLES = [
    "Design the schema",
    "Write the migration",
    "Deploy it",
    "Reproduce what is wrong: Fix the login page",
    "Fix the login page",
    "Add a check that fails when it comes back: Fix the login page",
]


def create(client: httpx.Client, **words: Any) -> str:
    """Create a plan; give its address."""
    answer = client.post("/plans", json={"title": "Spring", "goals": GOALS} | words)
    assert answer.status_code == 201, answer.text
    path: str = answer.headers["location"].removeprefix("/api/v1")
    return path


def approve(client: httpx.Client, path: str, **parameters: Any) -> httpx.Response:
    """Approve a plan."""
    return client.patch(path, json={"action": "approve"}, params=parameters)


def perform(stage: Stage, taken: Taken) -> bool:
    """Do a job as a worker does, in the test's thread; tells whether its outcome was written."""
    attempt = Attempt(taken)
    request = create_tasks.job_type.payload.decode(taken.payload)
    result = create_tasks.job_type.result.encode(create_tasks.fn(JobContext(attempt, INSTALLATION), request)).decode()
    return stage.finish(taken, Ending.COMPLETED, result=result, effects=attempt.effects)


def test_e7_an_approved_plan_gets_its_tasks_by_a_job(greenroom: Served) -> None:
    """E7: 202 with a job id that is polled at its own address; with the job's completion the tasks are there."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    path = create(ann)
    draft = ann.get(path).json()
    assert (draft["status"], draft["goals"], draft["tasks"], draft["job_id"]) == ("draft", GOALS, [], None)

    answer = approve(ann, path)
    assert answer.status_code == 202
    assert set(answer.json()) == {"job_id"}
    job_path = f"/plans/jobs/{answer.json()['job_id']}"
    assert answer.headers["location"] == f"/api/v1{job_path}"
    assert ann.get(path).json()["status"] == "processing"
    assert (ann.get(job_path).json()["status"], ann.get(job_path).json()["tasks"]) == ("queued", [])
    taken = stage.take_one()
    assert ann.get(job_path).json()["status"] == "processing"
    assert perform(stage, taken)

    plan = ann.get(path).json()
    assert (plan["status"], plan["made_by"], plan["job_id"]) == ("ready", "rules", taken.id)
    assert [task["title"] for task in plan["tasks"]] == TITLES
    assert [(task["number"], task["goal"], task["after"]) for task in plan["tasks"]] == [
        (1, 1, []), (2, 1, [1]), (3, 1, [2]), (4, 2, []), (5, 2, [4]), (6, 2, [5]),
    ]  # fmt: skip
    polled = ann.get(job_path).json()
    assert (polled["status"], polled["plan_id"], polled["tasks"]) == ("completed", plan["id"], plan["tasks"])
    assert ann.get(f"/jobs/{taken.id}").json()["result"]["tasks"] == plan["tasks"]
    assert items(ann, "/plans") == [plan]
    again = approve(ann, path)
    assert (again.status_code, again.json()["job_id"]) == (202, taken.id)
    assert len(items(ann, "/jobs")) == 1


def test_e7_the_synchronous_answer_still_works(greenroom: Served) -> None:
    """E7: with sync=true the answer is 200 with the tasks, without any job; again the same; then it needs no other approval."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    path = create(ann)
    answer = approve(ann, path, sync="true")
    assert (answer.status_code, answer.json()["status"], answer.json()["job_id"]) == (200, "ready", None)
    assert [task["title"] for task in answer.json()["tasks"]] == TITLES
    assert approve(ann, path, sync="true").json() == answer.json() == ann.get(path).json()
    late = approve(ann, path)
    assert (late.status_code, late.json()["code"]) == (409, "ILLEGAL_TRANSITION")
    assert (stage.rows("jobs"), stage.rows("plan_tasks")) == (0, 6)


def test_e7_unknown_plans_and_jobs(greenroom: Served) -> None:
    """E7: what does not exist, is somebody else's or is a job of another type is 404 with the same bytes."""
    ann, bob = greenroom.user("ann"), greenroom.user("bob")
    path = create(ann)
    job_id = approve(ann, path).json()["job_id"]
    other = ann.post("/jobs", json={"type": "tests.echo", "payload": {}}).json()["id"]
    missing = ann.get(f"/plans/jobs/{new_id()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
    for answer in (bob.get(f"/plans/jobs/{job_id}"), ann.get(f"/plans/jobs/{other}"), ann.get("/plans/jobs/nonsense"),
                   bob.get(path), approve(bob, path), approve(bob, path, sync="true"), bob.delete(path),
                   approve(ann, f"/plans/{new_id()}")):  # fmt: skip
        assert (answer.status_code, answer.content) == (404, missing.content)
    assert items(bob, "/plans") == []
    assert ann.get(path).json()["status"] == "processing"


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"goals": []}, "goals"),
        ({"goals": ["a", " "]}, "goals[1]"),
        ({"goals": ["a", 5]}, "goals[1]"),
        ({"goals": "a"}, "goals"),
        ({"goals": ["a"] * 51}, "goals"),
        ({"goals": ["a" * 2_001]}, "goals[0]"),
        ({"title": ""}, "title"),
        ({"title": "a" * 201}, "title"),
        ({"status": "ready"}, None),
    ],
)
def test_e1_a_plan_is_validated(greenroom_on_sqlite: Served, words: dict[str, Any], field: str | None) -> None:
    """E1: what has the wrong type or size is 400 with the field, for the plan as for a job of its type, and nothing is made."""
    ann, stage = greenroom_on_sqlite.user("ann"), Stage(greenroom_on_sqlite.database)
    body = {"title": "Spring", "goals": GOALS} | words
    answer = ann.post("/plans", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION"), answer.text
    assert field is None or answer.json()["field"] == field
    job = ann.post("/jobs", json={"type": TYPE, "payload": body})
    assert (job.status_code, job.json()["code"]) == (400, "VALIDATION"), job.text
    assert field is None or job.json()["field"] == f"payload.{field}"
    assert (stage.rows("plans"), stage.rows("jobs")) == (0, 0)


def test_e1_an_approval_is_validated(greenroom_on_sqlite: Served) -> None:
    """E1: another action, none or a further field is 400, and the plan stays a draft; goals above the tier's size are 413."""
    ann, free = greenroom_on_sqlite.user("ann"), greenroom_on_sqlite.user("fay", tier="free")
    path = create(ann)
    for body in ({}, {"action": "reject"}, {"action": "approve", "status": "ready"}, {"action": None}):
        assert ann.patch(path, json=body).json()["code"] == "VALIDATION"
    assert ann.get(path).json()["status"] == "draft"
    large = free.post("/plans", json={"title": "Large", "goals": ["a" * 2_000] * 40})
    assert (large.status_code, large.json()["code"], large.json()["limit"]) == (413, "PAYLOAD_TOO_LARGE", 65_536)


def test_pressed_by_many_at_once_it_makes_one_job(greenroom: Served) -> None:
    """Of ten approvals at the same moment all answer 202 with the same job, the only one there is."""
    ann = greenroom.user("ann")
    path = create(ann)
    start = threading.Barrier(10)

    def press(_: int) -> tuple[int, str]:
        start.wait()
        answer = approve(ann, path)
        return answer.status_code, answer.json().get("job_id")

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(press, range(10)))
    (job,) = items(ann, "/jobs")
    assert answers == {(202, job["id"])}


def test_an_approval_passes_admission(greenroom: Served) -> None:
    """A user without room gets 429 and the plan stays a draft; an approval that is there already is answered all the same."""
    ann = greenroom.user("ann", tier="free")
    first, second = create(ann), create(ann)
    job_id = approve(ann, first).json()["job_id"]
    refused = approve(ann, second)
    assert (refused.status_code, refused.json()["code"]) == (429, "CONCURRENT_JOB_LIMIT")
    assert ann.get(second).json()["status"] == "draft"
    assert approve(ann, first).json()["job_id"] == job_id
    working = approve(ann, first, sync="true")
    assert (working.status_code, working.json()["code"]) == (409, "ILLEGAL_TRANSITION")


def test_tasks_are_written_by_the_latest_approval_only(greenroom: Served) -> None:
    """A plan whose job was cancelled is in error and can be approved anew; what the first attempt brings later is refused."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    path = create(ann)
    first = approve(ann, path).json()["job_id"]
    late = stage.take_one()
    ann.delete(f"/jobs/{first}")
    assert ann.get(path).json()["status"] == "error"
    second = approve(ann, path).json()["job_id"]
    assert second != first
    assert not perform(stage, late)
    assert stage.rows("plan_tasks") == 0
    assert perform(stage, stage.take_one())
    assert (stage.rows("plan_tasks"), ann.get(path).json()["status"]) == (6, "ready")


def test_a_job_of_one_s_own_writes_into_no_plan(greenroom: Served) -> None:
    """A job of this type that was submitted by itself gives its tasks as its result, and no plan changes."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    path = create(ann)
    job = ann.post("/jobs", json={"type": TYPE, "payload": {"title": "Mine", "goals": ["Fix it"]}}).json()
    assert perform(stage, stage.take_one())
    assert len(ann.get(f"/jobs/{job['id']}").json()["result"]["tasks"]) == 3
    assert (stage.rows("plan_tasks"), ann.get(path).json()["status"]) == (0, "draft")


def test_a_deleted_plan_takes_its_job_along(greenroom: Served) -> None:
    """A plan that is thrown away is gone with its tasks, its job is cancelled, and what that brings is written nowhere."""
    ann, stage = greenroom.user("ann"), Stage(greenroom.database)
    path, done = create(ann), create(ann)
    approve(ann, done, sync="true")
    job_id = approve(ann, path).json()["job_id"]
    taken = stage.take_one()
    assert [ann.delete(path).status_code, ann.delete(done).status_code, ann.delete(path).status_code] == [204, 204, 404]
    assert ann.get(f"/plans/jobs/{job_id}").json()["status"] == "cancelled"
    assert not perform(stage, taken)
    assert (stage.rows("plans"), stage.rows("plan_tasks")) == (0, 0)


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_real_workers_make_the_tasks(database_url: str, tmp_path: Path) -> None:
    """With real workers a plan that was approved gets ready, and stories are reviewed beside it."""
    up = Up(tmp_path / "one", DATABASE_URL=database_url, WORKER_PROCESSES="1")
    try:
        up.wait_for("Greenroom is running.")
        call: Callable[..., httpx.Response] = up.call
        plan_id = call("POST", "/api/v1/plans", json={"title": "Spring", "goals": GOALS}).json()["id"]
        job_id = call("PATCH", f"/api/v1/plans/{plan_id}", json={"action": "approve"}).json()["job_id"]
        assert up.finished(job_id)["status"] == "completed"
        assert [task["title"] for task in call("GET", f"/api/v1/plans/{plan_id}").json()["tasks"]] == TITLES
        story = up.submit("stories.process", story="As a clerk, I want to print, so that I can file.", iterations=["invest"])
        assert up.finished(story)["result"]["iterations"][0]["by"] == "rules"
    finally:
        up.close()
