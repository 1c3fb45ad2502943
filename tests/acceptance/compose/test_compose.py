"""compose.yaml and the Dockerfile, seen from outside: the stack starts, works, survives and stops as promised.

`make compose-test` builds the image and runs these, and after them the other acceptance tests that choice.py has chosen; all
need a Docker engine and Compose.
"""

import subprocess
import threading
from collections import Counter

import httpx
import psycopg
import pytest

from tests import factories_pdf
from tests.acceptance.compose.stack import FILES, Stack, command, plain_environment
from tests.acceptance.pages import ROOT
from tests.waiting import until

OURS = ("api", "worker")
SERVERS = ("postgres", "rabbitmq")
SECONDS = 120.0
STOPPING = "Sending signal"

pytestmark = [pytest.mark.timeout(600), pytest.mark.compose]


@pytest.fixture(autouse=True)
def _working(request: pytest.FixtureRequest) -> None:
    """Have two workers, where there is a stack at all."""
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").work()


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "GREENROOM_ADMIN_KEY"])
def test_it_refuses_to_start_without_credentials(missing: str) -> None:
    """No password is made up: without one of them Compose says which is missing, and starts nothing."""
    found = command()
    assert found is not None
    given = {"POSTGRES_PASSWORD": "a", "RABBITMQ_PASSWORD": "b", "GREENROOM_ADMIN_KEY": "c"}
    environment = plain_environment() | {name: value for name, value in given.items() if name != missing}
    words = [*found, "--file", str(FILES[0]), "config", "--quiet"]
    refused = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    accepted = subprocess.run(words, env=environment | given, capture_output=True, text=True, check=False, cwd=ROOT)
    assert refused.returncode != 0
    assert f"set {missing}" in refused.stderr
    assert accepted.returncode == 0, accepted.stderr


def test_containers_are_confined(stack: Stack) -> None:
    """All is published on loopback only; ours run as nobody in particular, on a file system that they can't write to."""
    for service in (*OURS, *SERVERS):
        for container in stack.containers(service):
            published = [binding for ports in container["NetworkSettings"]["Ports"].values() for binding in ports or []]
            assert {binding["HostIp"] for binding in published} <= {"127.0.0.1"}
            assert len(published) == (service != "worker")
            users = stack.docker("top", container["Id"], "-eo", "uid,pid,args").splitlines()[1:]
            assert all(line.split()[0] != "0" for line in users), users
    for service in OURS:
        for container in stack.containers(service):
            assert container["HostConfig"]["ReadonlyRootfs"]
            assert container["HostConfig"]["CapDrop"] == ["ALL"]
            ours = stack.docker("exec", container["Id"], "sh", "-c", "id -u; touch /opt/greenroom/x 2>&1 || true")
            assert ours.split("\n")[0] == "10001"
            assert "Read-only file system" in ours
    (migrations,) = stack.containers("migrations")
    assert (migrations["State"]["Status"], migrations["State"]["ExitCode"]) == ("exited", 0)


def test_a_pdf_becomes_a_book(stack: Stack) -> None:
    """An uploaded PDF is read by four jobs in the workers' containers and can then be read as HTML."""
    files = {"file": ("book.pdf", factories_pdf.long_book(pages=12, outline=True))}
    answer = stack.call("POST", "/api/v1/books", files=files, data={"title": "Twelve pages"})
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/books/{answer.json()['book']['id']}"

    until(lambda: stack.call("GET", path).json()["status"] != "processing", "end of the book", seconds=SECONDS)

    book = stack.call("GET", path).json()
    assert (book["status"], book["pages"], book["title"]) == ("ready", 12, "Twelve pages")
    assert book["chapters"][0]["title"] in stack.call("GET", f"{path}/html").text
    assert {job["status"] for job in stack.call("GET", f"{path}/jobs").json()["items"]} == {"completed"}


def test_both_workers_work(stack: Stack) -> None:
    """Jobs that wait at the same time are shared out among the workers, and each one's result comes back."""
    begun = [stack.begin(f"shared-{number}") for number in range(12)]
    where = Counter(stack.container_of(job_id) for job_id, _ in begun)
    for _, gate in begun:
        gate.touch()
    assert {stack.finished(job_id)["status"] for job_id, _ in begun} == {"completed"}
    assert len(where) == 2, where
    echoed = [stack.submit("tests.echo", number=number) for number in range(40)]
    assert [stack.finished(job_id)["result"]["number"] for job_id in echoed] == list(range(40))


def test_rabbitmq_carries_the_messages(stack: Stack) -> None:
    """Both workers take their work from a queue of RabbitMQ's."""
    words = ("exec", "-T", "rabbitmq", "rabbitmqctl", "--quiet", "list_queues", "name", "consumers")
    queues = dict(line.split() for line in stack.compose(*words).splitlines()[1:])
    assert queues["default"] == "2", queues


def test_a_dead_letter_is_replayed(stack: Stack) -> None:
    """A job that fails for good leaves a dead letter, and its replay is the same job again."""
    job_id = stack.submit("tests.fail", why="on purpose")
    assert stack.finished(job_id)["status"] == "failed"
    (letter,) = [
        letter for letter in stack.call("GET", "/api/v1/dead-letters").json()["items"] if letter["job"] == job_id
    ]  # fmt: skip
    assert letter["error"]["message"] == "no good: on purpose"
    replayed = stack.call("POST", f"/api/v1/dead-letters/{letter['id']}/replay")
    assert (replayed.status_code, replayed.json()["id"]) == (200, job_id)
    assert stack.finished(job_id)["status"] == "failed"


def test_a_killed_worker_costs_an_attempt(stack: Stack) -> None:
    """When all processes of a worker are killed in the middle of a job, another one does it and the container comes back."""
    # given
    job_id, gate = stack.begin("killed")
    victim = stack.container_of(job_id)
    before = set(stack.workers())
    # when
    stack.docker("exec", "--detach", victim, "sh", "-c", "kill -9 -1")
    # then
    until(lambda: stack.call("GET", f"/api/v1/jobs/{job_id}").json()["attempt"] == 2, "second attempt", seconds=SECONDS)
    gate.touch()
    done = stack.finished(job_id)
    assert (done["status"], done["result"]) == ("completed", {"worker_lived": True})
    # its container is started again, and holds a worker that was not there before
    until(lambda: victim in {name for id, name in stack.workers().items() if id not in before}, "new worker", seconds=SECONDS)


def test_a_stop_waits_for_the_work_in_hand(stack: Stack) -> None:
    """SIGTERM, as Compose sends it, lets a worker finish its job; it ends with exit code 0 and the attempt is the first."""
    # given
    job_id, gate = stack.begin("stopped")
    container = stack.container_of(job_id)
    stopping = threading.Thread(target=stack.docker, args=("stop", "-t", "45", container))
    # when
    stopping.start()
    until(lambda: STOPPING in stack.logs(container), "sign of the stop", seconds=SECONDS)
    gate.touch()
    stopping.join(SECONDS)
    # then
    assert not stopping.is_alive()
    done = stack.finished(job_id)
    assert (done["status"], done["attempt"]) == ("completed", 1)
    assert stack.docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    stack.docker("start", container)
    until(lambda: len(stack.workers()) == 2, "two workers", seconds=SECONDS)


def test_the_api_stops_in_good_order(stack: Stack) -> None:
    """The API's container ends with exit code 0 within its grace, and comes back with all that was there."""
    job_id = stack.submit("tests.echo", word="kept")
    stack.finished(job_id)
    (api,) = stack.containers("api")
    stack.docker("stop", "-t", "45", api["Id"])
    assert stack.docker("inspect", "--format", "{{.State.ExitCode}}", api["Id"]).strip() == "0"
    stack.docker("start", api["Id"])
    until(lambda: answers(stack), "API that answers", seconds=SECONDS)
    assert stack.finished(job_id)["result"] == {"word": "kept"}


def test_a_restarted_database_costs_no_job(stack: Stack) -> None:
    """PostgreSQL's restart in the middle of a job is survived by API and workers without anybody's help."""
    job_id, gate = stack.begin("database")
    stack.compose("restart", "postgres")
    until(lambda: answers(stack), "API that answers", seconds=SECONDS)
    gate.touch()
    assert stack.finished(job_id)["status"] == "completed"
    assert stack.finished(stack.submit("tests.echo"))["status"] == "completed"


def test_a_restarted_broker_costs_no_job(stack: Stack) -> None:
    """While RabbitMQ is away the API accepts, the work in hand is finished, and all that was accepted is done afterwards."""
    job_id, gate = stack.begin("broker")
    stack.compose("stop", "rabbitmq")
    accepted = [stack.submit("tests.echo", number=number) for number in range(5)]
    gate.touch()
    assert stack.finished(job_id)["status"] == "completed"
    stack.compose("start", "rabbitmq")
    until(lambda: {stack.finished(job_id)["status"] for job_id in accepted} == {"completed"}, "end of all", seconds=2 * SECONDS)


def test_all_of_it_restarts(stack: Stack) -> None:
    """After `down` and `up` everything that was asked for is still there, what was in hand is finished, and all is well."""
    job_id, gate = stack.begin("all")
    kept = stack.submit("tests.echo", word="kept")
    stack.finished(kept)
    gate.touch()
    stack.compose("down")
    stack.up()
    assert stack.finished(job_id)["status"] == "completed"
    assert stack.finished(kept)["result"] == {"word": "kept"}
    assert "A1 to A6 hold." in stack.compose("exec", "-T", "api", "greenroom", "verify")


def test_the_database_wants_its_password(stack: Stack) -> None:
    """Who is on this machine and does not know the password does not get in."""
    url = f"postgresql://greenroom:{{}}@127.0.0.1:{stack.ports['POSTGRES_PORT']}/greenroom"
    with psycopg.connect(url.format(stack.environment["POSTGRES_PASSWORD"])) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM jobs").fetchone() == (True,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.format("guessed"))


def answers(stack: Stack) -> bool:
    """Tell whether the API answers that it is ready."""
    try:
        return stack.call("GET", "/health/ready").status_code == 200
    except httpx.TransportError:
        return False
