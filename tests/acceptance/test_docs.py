"""The documentation keeps its word: generated parts are current, links lead somewhere, and commands and examples run."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import factories_pdf
from tests.acceptance.house import House
from tests.acceptance.pages import PAGES, README, ROOT, blocks, dead_links, is_run, write_modules
from tests.services import give_up, new_database

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a shell")]

DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial" / "first-book.md"
DURABILITY = DOCS / "explanation" / "durability.md"
ADD, POSTGRESQL, BACK_UP, KEYS, REPLAY, UPGRADE, RUNS, SCHEDULES, STORIES, PLANS = (
    DOCS / "how-to" / f"{name}.md"
    for name in (
        "add-a-job-type",
        "run-on-postgresql",
        "back-up-and-restore",
        "rotate-keys",
        "pause-resume-and-replay",
        "upgrade",
        "start-runs",
        "schedule-jobs",
        "review-user-stories",
        "turn-plans-into-tasks",
    )
)

MAKE_A_KEY = "export GREENROOM_KEY=$(.venv/bin/greenroom keys create --user ada --tenant acme --tier pro)"
GREET = '.venv/bin/greenroom submit greetings.say \'{"name": "Ada"}\' --wait'


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Give a function that builds a house; whatever runs in them is stopped after the test."""
    for command in ("bash", "curl", "make"):
        if shutil.which(command) is None:
            give_up(command, "it is not installed")
    built: list[House] = []

    def build(**settings: str) -> House:
        built.append(House(tmp_path / f"house{len(built)}", **settings))
        return built[-1]

    yield build
    for one in built:
        one.stop()


def test_generated_parts_are_current() -> None:
    """Committed pages say what the code says: nobody has changed one without the other."""
    check = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False, cwd=DOCS
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_a_changed_page_is_found(tmp_path: Path) -> None:
    """The check sees a part that was edited by hand, and says what the code says instead."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    page = tmp_path / "docs" / "reference" / "states.md"
    page.write_text(page.read_text().replace("processing --> queued", "processing --> limbo"))
    check = subprocess.run(
        [sys.executable, tmp_path / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 1
    assert "+    processing --> queued" in check.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file or heading of the repository finds it."""
    assert dead_links(page) == []


def test_every_command_is_run() -> None:
    """Every page with commands or Python has a test below that runs them."""
    run = {README, TUTORIAL, DURABILITY, ADD, POSTGRESQL, BACK_UP, KEYS, REPLAY, UPGRADE, RUNS, SCHEDULES, STORIES, PLANS}
    assert {page for page in PAGES if is_run(page)} == run


def test_readme(house: Callable[..., House]) -> None:
    """A newcomer who does what the README says has a book, and then a job type in one file."""
    # given
    home = house()
    (home.folder / "book.pdf").write_bytes(factories_pdf.book(chapters=3))
    start, *commands = blocks(README, "sh", section="Five minutes")
    # when
    home.start(start)
    told = home.run(*commands)
    # then
    assert [line for line in told.splitlines() if line.startswith("event: job.") and "progress" not in line] == [
        "event: job.enqueued",
        "event: job.active",
        "event: job.completed",
    ]
    assert '"status":"ready"' in told
    assert "Chapter 3" in (home.folder / "book.html").read_text()
    # when
    home.stop()
    write_modules(README, home.folder)
    home.start(start)
    told = home.run(*blocks(README, "sh", section="Add a job type"))
    # then
    assert "Hello, Ada!" in told
    assert blocks(README, "sh", section="Tests") == ["make test\n"]


def test_tutorial(house: Callable[..., House]) -> None:
    """The tutorial's books are ready, the one whose worker was killed as well, and every promise holds in the end."""
    home = house(LEASE_SECONDS="2", HEARTBEAT_SECONDS="0.5", SWEEP_SECONDS="0.5")
    (home.folder / "book.pdf").write_bytes(factories_pdf.long_book(pages=200, outline=True))
    start, *commands = blocks(TUTORIAL, "sh")
    home.start(start)
    told = home.run(*commands)
    assert told.count('"status":"ready"') == 2
    assert "A1 to A6 hold." in told
    assert "Chapter 20" in (home.folder / "book.html").read_text()


def test_add_a_job_type(house: Callable[..., House]) -> None:
    """The long example and its tests run; a module that a setting names and one that a package names are found too."""
    # given
    home = house()
    write_modules(ADD, home.folder)
    install_elsewhere(home, "box_office", entry_points="")
    (entry_points,) = (tomllib.loads(block)["project"]["entry-points"] for block in blocks(ADD, "toml"))
    (named,) = entry_points["greenroom.actors"].values()
    install_elsewhere(home, "stalls", entry_points=f"[greenroom.actors]\nstalls = {named.replace('box_office', 'stalls')}\n")
    first, second = blocks(ADD, "sh")
    # when
    home.start(second)
    told = home.run(MAKE_A_KEY, first)
    # then
    assert '{"numbers": ["Hamlet-1", "Hamlet-2"]}' in told
    (mail,) = items(home, "list --type tickets.mail")
    assert "job.completed" in watch(home, mail["id"])
    assert "Hello, Ada!" in home.run(GREET.replace("greetings", "box_office"))
    assert "Hello, Ada!" in home.run(GREET.replace("greetings", "stalls"))
    assert "job.completed" in watch(home, home.run(".venv/bin/python send_tickets.py").strip())
    assert "2 passed" in home.run(".venv/bin/python -m pytest -q tests/test_tickets.py")


@pytest.mark.postgresql
def test_run_on_postgresql(house: Callable[..., House], postgres_url: str) -> None:
    """API and workers run as processes of their own on PostgreSQL, as the README and the guide say."""
    documented = "postgresql://greenroom:PASSWORD@127.0.0.1:5432/greenroom"
    (make_role,) = [block for block in blocks(POSTGRESQL, "sql") if "greenroom_app" in block]
    with new_database(postgres_url) as url, psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as owner:
        # given
        home = house()
        write_modules(README, home.folder)
        migrate, api, workers, app_role, verify = blocks(POSTGRESQL, "sh")
        readme = blocks(README, "sh", section="Go to PostgreSQL")
        assert [code.split("#")[0].split() for code in readme] == [code.split() for code in (migrate, api, workers)]
        try:
            owner.execute(make_role.encode())
            # when
            home.run(migrate.replace(documented, url))
            home.run(app_role)
            home.start(api)
            home.start(workers, until="worker.started")
            # then
            assert "Hello, Ada!" in home.run(MAKE_A_KEY, GREET)
            assert "A1 to A6 hold." in home.run(verify)
            home.stop()
        finally:
            owner.execute("DROP OWNED BY greenroom_app")
            owner.execute("DROP ROLE greenroom_app")


def test_back_up_and_restore(house: Callable[..., House]) -> None:
    """A copy that was made while Greenroom ran brings back what was there, with SQLite syncing every commit."""
    # given
    home = house()
    write_modules(README, home.folder)
    (start,) = blocks(DURABILITY, "sh")
    back_up, restore = blocks(BACK_UP, "sh", section="SQLite")
    home.start(start)
    job = json.loads(home.run(MAKE_A_KEY, f"{GREET} --json").splitlines()[-1])
    # when
    home.run(back_up)
    home.run(GREET)
    home.stop()
    assert "A1 to A6 hold." in home.run(restore)
    home.start("make run")
    # then
    assert [item["id"] for item in items(home, "list")] == [job["id"]]


def test_rotate_keys(house: Callable[..., House]) -> None:
    """Both keys hold until the old one is revoked; then only the new one does."""
    # given
    home = house()
    home.start("make run")
    make, look_and_revoke, make_admin = blocks(KEYS, "sh")
    home.run(MAKE_A_KEY)
    old = home.environment["GREENROOM_KEY"]
    look = look_and_revoke.partition("\n")[0]
    # when
    new = json.loads(home.run(make))["key"]
    home.environment["api"] = f"http://127.0.0.1:{home.port}/api/v1"
    listed = json.loads(home.run(look))["items"]
    (old_id,) = [item["id"] for item in listed if item["prefix"] == old.split("_")[1]]
    assert quota(home, old) == quota(home, new) == "200"
    home.environment["OLD_KEY_ID"] = old_id
    home.run(look_and_revoke)
    # then
    assert (quota(home, old), quota(home, new)) == ("401", "200")
    assert quota(home, home.run(make_admin).strip()) == "200"


def test_pause_resume_and_replay(house: Callable[..., House]) -> None:
    """Pauses come and go; a dead letter is replayed, and one whose payload was to blame with another payload."""
    # given
    home = house()
    (home.folder / "book.pdf").write_bytes(factories_pdf.book())
    home.start("make run")
    home.run(MAKE_A_KEY)
    home.environment["api"] = f"http://127.0.0.1:{home.port}/api/v1"
    _, make_user, upload, wait = blocks(README, "sh", section="Five minutes")
    (field,) = [line for line in make_user.splitlines() if line.startswith("field")]
    home.run(field, upload, wait)
    (described,) = items(home, "list --type documents.describe")
    good = described["payload"]
    home.environment["PAYLOAD"] = json.dumps(good)
    bad = json.dumps(good | {"source": good["book"]})
    for _ in range(2):
        home.run(f".venv/bin/greenroom submit documents.describe '{bad}' --wait || true")
    letters = items(home, "dead-letters list")
    home.environment["LETTER"], home.environment["OTHER_LETTER"] = (letter["id"] for letter in letters)
    pause, narrow, resume, *replay = blocks(REPLAY, "sh")
    # when
    assert json.loads(home.run(pause))["paused"]
    narrowed = {"type": "documents.convert", "user": None, "queue": None}
    assert all(narrowed in json.loads(home.run(line))["pauses"] for line in narrow.replace("\\\n", "").splitlines())
    assert json.loads(home.run(resume))["pauses"] == []
    told = home.run(*replay)
    # then
    assert "job.completed" in watch(home, letters[1]["job"])
    assert '"dry_run":true' in told


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


def test_stories_and_plans(house: Callable[..., House]) -> None:
    """A story is reviewed, and a plan approved, watched and made at once, as the pages say."""
    home = house()
    home.start(blocks(README, "sh", section="Five minutes")[0])
    assert '"by": "rules"' in home.run(*blocks(STORIES, "sh"))
    assert (told := home.run(*blocks(PLANS, "sh"))).count('"status":"ready"') == 2
    assert "job.completed" in told
    assert "Measure how it stands today" in told


def test_upgrade(house: Callable[..., House]) -> None:
    """Setting up, migrating and verifying may be done again and again."""
    assert "A1 to A6 hold." in house().run(*blocks(UPGRADE, "sh"))


def install_elsewhere(home: House, package: str, *, entry_points: str) -> None:
    """Put the README's job type into a package beside the repository, under the package's name."""
    place = home.folder / "elsewhere"
    folder = place / package
    folder.mkdir(parents=True)
    (code,) = blocks(README, "python")
    (folder / "jobs.py").write_text(code.replace("greetings.say", f"{package}.say"))
    if entry_points:
        metadata = place / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
    home.environment["PYTHONPATH"] = str(place)


def quota(home: House, key: str) -> str:
    """Ask with a key, and tell the status of the answer."""
    return home.run(f"curl -s -o /dev/null -w '%{{http_code}}' $api/quota -H 'Authorization: Bearer {key}'")


def items(home: House, command: str) -> list[dict[str, Any]]:
    """Read what a command of the client lists."""
    listed: list[dict[str, Any]] = json.loads(home.run(f".venv/bin/greenroom {command} --json"))["items"]
    return listed


def watch(home: House, job_id: str) -> str:
    """Follow a job to its end; anything but completed is an error."""
    return home.run(f".venv/bin/greenroom watch {job_id}")
