"""The job types of an evaluation by direct call, with a real endpoint and a real database."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from actors.evaluations.figures import Answer
from actors.evaluations.jobs import AnalysisRequest, ProbeRequest, analyze_basic, analyze_deep, probe
from actors.job import JobContext, Permanent
from persistence.attempts import Ending
from persistence.database import Database
from persistence.evaluations import PROBE
from persistence.runs import NewRun
from persistence.settings import DatabaseSettings
from tests import factories
from tests.chat_server import ChatServer


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open a database of the test's own."""
    database = Database(DatabaseSettings(), url=database_url)
    yield database
    database.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """Serve an endpoint that the settings name."""
    with ChatServer().running() as running:
        monkeypatch.setenv("GREENROOM_LLM_URL", running.url)
        yield running


def test_a_probe(server: ChatServer) -> None:
    """The answer is scored, and the transcript kept."""
    server.answers["m"] = "I say it is Paris."
    job = JobContext.for_test()
    answer: Answer = probe(job, ProbeRequest(model="m", prompt="Where?", expected="paris", scenario=3, name="capital"))
    assert (answer.model, answer.scenario, answer.name, answer.score, answer.correct) == ("m", 3, "capital", 1.0, True)
    transcript = json.loads(job.files["transcript.json"])
    assert transcript["messages"] == [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "I say it is Paris."},
    ]
    assert transcript["usage"] == {"prompt_tokens": 1, "completion_tokens": 5}


def test_a_long_answer(server: ChatServer) -> None:
    """Of a long answer the result has the beginning, the transcript all; without an expectation there is no score."""
    server.answers["m"] = "long " * 100_000
    job = JobContext.for_test()
    answer: Answer = probe(job, ProbeRequest(model="m", prompt="Tell me a story."))
    assert (len(answer.answer), answer.truncated, answer.score, answer.correct) == (20_000, True, None, None)
    assert len(json.loads(job.files["transcript.json"])["messages"][1]["content"]) == 500_000


def test_a_worker_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose settings name none says so."""
    monkeypatch.delenv("GREENROOM_LLM_URL", raising=False)
    with pytest.raises(Permanent, match="GREENROOM_LLM_URL"):
        probe(JobContext.for_test(), ProbeRequest(model="m", prompt="?"))


def test_analyses_read_one_users_run(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They find every probe of the run, page by page, and nothing for a user whose run it is not."""
    monkeypatch.setattr("actors.evaluations.jobs._PAGE", 4)
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob", tenant="globex")
        worker = factories.worker(session, [PROBE])
        run = NewRun("sums")
        asked = []
        for number in range(10):
            payload = ProbeRequest(model="ab"[number % 2], prompt="?", expected="x", scenario=number // 2)
            asked.append(factories.submission(PROBE, payload=msgspec.json.encode(payload).decode()))
        factories.submit(session, ann, *asked, run=run)
    with database.write() as session:
        for taken in factories.take(session, worker, room=9, types=[PROBE]):
            asked_for = msgspec.json.decode(taken.payload, type=ProbeRequest)
            answer = Answer(
                model=asked_for.model,
                scenario=asked_for.scenario,
                name=None,
                answer="x",
                truncated=False,
                score=1.0,
                correct=True,
                seconds=0.1,
                prompt_tokens=1,
                completion_tokens=1,
            )
            factories.finish(session, worker, taken, Ending.COMPLETED, result=msgspec.json.encode(answer).decode())
    request = msgspec.convert({"run": run.id}, AnalysisRequest)
    job = JobContext.for_test(user=ann, database=database)
    assert [(one.model, one.probes, one.answered) for one in analyze_basic(job, request).models] == [("a", 5, 5), ("b", 5, 4)]
    (pair,) = analyze_deep(job, request).pairs
    assert (pair.models, pair.scenarios, pair.agreement, pair.same_answer) == (("a", "b"), 4, 1.0, 1.0)
    for analyse in (analyze_basic, analyze_deep):
        with pytest.raises(Permanent, match="there is no run"):
            analyse(JobContext.for_test(user=bob, database=database), request)
