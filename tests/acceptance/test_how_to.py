"""What the how-to pages of runs, schedules, webhooks and the workloads say works when it is done as it stands there."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests import waiting
from tests.acceptance.greenroom_up import free_port
from tests.acceptance.house import House
from tests.acceptance.pages import README, ROOT, blocks, write_modules

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a shell")]

_HOW_TO = ROOT / "docs" / "how-to"
RUNS = _HOW_TO / "start-runs.md"
SCHEDULES = _HOW_TO / "schedule-jobs.md"
WEBHOOKS = _HOW_TO / "receive-webhooks.md"
PAGES = {RUNS, SCHEDULES, WEBHOOKS}

GREET = '.venv/bin/greenroom submit greetings.say \'{"name": "Ada"}\' --wait'


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
