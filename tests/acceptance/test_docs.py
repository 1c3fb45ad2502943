"""The documentation keeps its word: generated parts are current, links lead somewhere, and commands and examples run."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import factories_pdf
from tests.acceptance import test_how_to
from tests.acceptance.house import GREET, MAKE_A_KEY, House, items, quota, watch
from tests.acceptance.pages import PAGES, README, ROOT, blocks, dead_links, is_run, write_modules
from tests.services import new_database

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a shell")]

DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial" / "first-book.md"
DURABILITY = DOCS / "explanation" / "durability.md"
ADD, POSTGRESQL, BACK_UP, KEYS, REPLAY, UPGRADE = (
    DOCS / "how-to" / f"{name}.md"
    for name in (
        "add-a-job-type",
        "run-on-postgresql",
        "back-up-and-restore",
        "rotate-keys",
        "pause-resume-and-replay",
        "upgrade",
    )
)


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
    """Every page with commands or Python has a test, here or in test_how_to.py, that runs them."""
    run = {README, TUTORIAL, DURABILITY, ADD, POSTGRESQL, BACK_UP, KEYS, REPLAY, UPGRADE, *test_how_to.PAGES}
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
    """The package is made, installed, found and tested as the guide says; uninstalled, a setting names its module."""
    # given
    home = house()
    make, install, submit, test, start_with, send = blocks(ADD, "sh")
    (package,) = (tomllib.loads(block)["project"]["name"] for block in blocks(ADD, "toml"))
    home.run(make)
    write_modules(ADD, home.folder)
    home.run(install)
    # when
    home.start("make run")
    told = home.run(MAKE_A_KEY, submit)
    # then
    assert '{"seats": 3, "cents": 10550, "dearest": "A1"}' in told
    (mail,) = items(home, "list --type box_office.mail")
    assert "job.completed" in watch(home, mail["id"])
    assert "job.completed" in watch(home, home.run(send).strip())
    assert "6 passed" in home.run(test)
    # when
    home.stop()
    home.run(f".venv/bin/python -m pip uninstall --quiet --yes {package}")
    home.start(start_with)
    # then
    assert '"cents": 10550' in home.run(submit)


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


def test_upgrade(house: Callable[..., House]) -> None:
    """Setting up, migrating and verifying may be done again and again."""
    assert "A1 to A6 hold." in house().run(*blocks(UPGRADE, "sh"))
