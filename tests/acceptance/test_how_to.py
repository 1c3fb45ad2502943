"""What the how-to pages of runs, schedules, webhooks and the workloads say works when it is done as it stands there."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests import factories_git, waiting
from tests.acceptance.greenroom_up import free_port
from tests.acceptance.house import GREET, MAKE_A_KEY, House, items
from tests.acceptance.pages import README, ROOT, blocks, write_modules
from tests.chat_server import ChatServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a shell")]

_HOW_TO = ROOT / "docs" / "how-to"
RUNS = _HOW_TO / "start-runs.md"
SCHEDULES = _HOW_TO / "schedule-jobs.md"
WEBHOOKS = _HOW_TO / "receive-webhooks.md"
COMMAND = _HOW_TO / "run-a-command.md"
EVALUATE = _HOW_TO / "evaluate-models.md"
GRAPHQL = _HOW_TO / "ask-in-graphql.md"
SCANS = _HOW_TO / "find-duplicate-pull-requests.md"
STORIES = _HOW_TO / "review-user-stories.md"
PLANS = _HOW_TO / "turn-plans-into-tasks.md"
PAGES = {RUNS, SCHEDULES, WEBHOOKS, COMMAND, EVALUATE, GRAPHQL, SCANS, STORIES, PLANS}


def test_runs_and_schedules(house: Callable[..., House]) -> None:
    """A run is started, watched, paused and resumed, and a schedule made and changed, as the pages say."""
    home = house()
    write_modules(README, home.folder)
    home.start(blocks(README, "sh", section="Five minutes")[0])
    begin, watch_it, control = blocks(RUNS, "sh")
    home.run(begin)
    assert '"by":{"large":' in home.run(watch_it)
    assert '"status":' in home.run(control)  # by the time it is cancelled it may have completed
    assert '"timezone":"Europe/Berlin"' in (told := home.run(*blocks(SCHEDULES, "sh")))
    assert '"paused":true,"next_at":null' in told


def test_receive_webhooks(house: Callable[..., House]) -> None:
    """The receiver of the guide, with the library, is content with a test event and with a job's end."""
    # given
    home = house()
    write_modules(README, home.folder)
    (receiver,) = write_modules(WEBHOOKS, home.folder)
    port = str(free_port())
    receiver.write_text(receiver.read_text().replace("9000", port))
    start, register, listen, test = blocks(WEBHOOKS, "sh")
    # when
    home.start(start)
    home.run(register.replace("9000", port))
    home.start(listen, until="Waiting for webhooks.")
    home.run(test)
    home.run(GREET)

    # then
    def delivered() -> bool:
        told: dict[str, Any] = json.loads(home.run(test.splitlines()[-1]))
        return [one["status"] for one in told["items"]] == ["delivered"] * 2

    waiting.until(delivered, "two delivered webhooks", seconds=60)


def test_run_a_command(house: Callable[..., House]) -> None:
    """A program beside the workers does the work, and its status can say that another try is no use."""
    home = house()
    (home.folder / "programs").mkdir()
    write_modules(COMMAND, home.folder)
    home.start("make run")
    (count,) = blocks(COMMAND, "sh")
    assert '{"letters": {"t": 3, "o": 4, "b": 2, "e": 2, "r": 1, "n": 1}}' in home.run(MAKE_A_KEY, count)
    told = home.run(".venv/bin/greenroom submit letters.count_once '{}' --wait || true")
    assert "no text" in told
    (letter,) = items(home, "dead-letters list")
    assert (letter["error"]["type"], letter["attempts"]) == ("Permanent", 1)


def test_evaluate_models(house: Callable[..., House]) -> None:
    """Two models are asked and compared as the page says, with an endpoint that speaks the protocol."""
    # given
    capitals = {"France": "Paris", "Italy": "Rome", "Peru": "Lima"}

    def large(asked: str) -> str:
        return next((f"It is {capital}." for land, capital in capitals.items() if land in asked), "You are kind.")

    with ChatServer().running() as server:
        server.key = "the-endpoints-key"
        server.answers |= {"large": large, "small": "Paris, I think."}
        home = house()
        start, define, begin, read, again = blocks(EVALUATE, "sh")
        documented = "http://127.0.0.1:11434/v1"
        assert documented in start
        # when
        home.start(start.replace(documented, server.url))
        home.run(define, begin)
        told = home.run(read)
        found = json.loads(home.run(f"{again.rstrip()} --json").splitlines()[-1])
        # then
        assert '"answer":"Paris, I think."' in told
        assert '"kappa":' in told
        figures = {one["model"]: (one["correct"], one["scored"], one["answered"]) for one in found["result"]["models"]}
        assert figures == {"large": (3, 3, 4), "small": (1, 3, 4)}
        assert server.counted() == {"large": 4, "small": 4}
        home.stop()


def test_ask_in_graphql(house: Callable[..., House]) -> None:
    """An evaluation is started, watched to its end and refused to be cancelled, all in GraphQL."""
    with ChatServer().running() as server:
        server.key = "the-endpoints-key"
        server.answers |= {"large": "It is Rome.", "small": "It is Lima."}
        home = house()
        start, define, *_ = blocks(EVALUATE, "sh")
        home.start(start.replace("http://127.0.0.1:11434/v1", server.url))
        home.run(define)
        told = home.run(*blocks(GRAPHQL, "sh"))
        assert '"startRun":{"id":' in told
        assert '"byModel":[{"model":"large","completed":4},{"model":"small","completed":4}]' in told
        assert '{"type":"analyze.deep","status":"completed"}' in told
        assert '"code":"ILLEGAL_TRANSITION"' in told
        home.stop()


def test_find_duplicate_pull_requests(house: Callable[..., House]) -> None:
    """A repository in a folder is tracked and scanned as the page says, and its duplicates come out."""
    home = house()
    (home.folder / "mirrors").mkdir()
    factories_git.repository(home.folder / "mirrors" / "site.git", factories_git.some_changes())
    start, scan = blocks(SCANS, "sh")
    home.start(start)
    told = home.run(scan)
    assert '"status":"done","phase":"done"' in told
    assert '"dupe_group_count":2' in told


def test_stories_and_plans(house: Callable[..., House]) -> None:
    """A story is reviewed, and a plan approved, watched and made at once, as the pages say."""
    home = house()
    home.start(blocks(README, "sh", section="Five minutes")[0])
    assert '"by": "rules"' in home.run(*blocks(STORIES, "sh"))
    assert (told := home.run(*blocks(PLANS, "sh"))).count('"status":"ready"') == 2
    assert "job.completed" in told
    assert "Measure how it stands today" in told
