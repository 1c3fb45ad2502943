"""Pages end by their bytes, whichever list they are of, and nothing of a list is lost or shown twice for it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, inspect
from sqlmodel import Session

from persistence import dead_letters, evaluations, plans, runs, schedules
from persistence.database import Database
from persistence.ids import new_id
from persistence.pages import PAGE_BYTES, Piece
from persistence.plans import NewTask
from persistence.runs import NewRun
from persistence.schedules import Schedule
from persistence.statements import run
from tests import factories
from tests.integration.persistence.run_steps import ends, start

Make = Callable[[Session, str, str], str]


def a_run(session: Session, user: str, text: str) -> str:
    """Start a run whose config is a text."""
    new = NewRun("nightly", config=msgspec.json.encode(text).decode())
    factories.submit(session, user, run=new)
    return new.id


def a_dead_letter(session: Session, user: str, text: str) -> str:
    """Have a job fail, half of the text in its payload and half in its traceback."""
    worker, half = factories.worker(session), len(text) // 2
    (job,) = factories.submit(session, user, factories.submission(payload=f'"{text[:half]}"'))
    (taken,) = factories.take(session, worker)
    assert factories.fail(session, worker, taken)
    run(session, "UPDATE dead_letters SET traceback = :text WHERE job_id = :job", text=text[half:], job=job)
    return str(run(session, "SELECT id FROM dead_letters WHERE job_id = :job", job=job).one().id)


def a_schedule(session: Session, user: str, text: str) -> str:
    """Enter a schedule whose payload is a text."""
    words: dict[str, Any] = {
        "type": factories.TYPE,
        "queue": factories.QUEUE,
        "max_attempts": 1,
        "cron": "0 3 * * *",
        "timezone": "UTC",
    }
    return schedules.create(session, Schedule(user_id=user, payload=msgspec.json.encode(text).decode(), **words)).id


def a_plan(session: Session, user: str, text: str) -> str:
    """Enter a plan, half of the text its goal and half what its tasks are."""
    plan, half = new_id(), len(text) // 2
    plans.create(session, plan_id=plan, user_id=user, title="plan", goals=[text[:half]])
    quarter = text[half : half + half // 2]
    tasks = [NewTask(number=number, goal=1, title="task", details=quarter, after=[]) for number in (1, 2)]
    assert plans.complete(session, plan_id=plan, job_id=None, tasks=tasks, by="rules")
    return plan


def key(row: Any) -> str:
    """Name a row of any list."""
    found: str = (row.plan if isinstance(row, plans.PlanView) else row).id
    return found


LISTS: dict[str, tuple[Make, Callable[..., Piece[Any]]]] = {
    "runs": (a_run, runs.listed),
    "dead letters": (a_dead_letter, dead_letters.listed),
    "schedules": (a_schedule, schedules.listed),
    "plans": (a_plan, plans.listed),
}


@pytest.mark.parametrize("name", LISTS)
def test_pages_end_by_their_bytes_and_have_everything_once(database: Database, name: str) -> None:
    """Two large ones fit, three would if characters counted; what does not fit is not read, and the cursors lead to all."""
    make, listed = LISTS[name]
    with database.write() as session:
        ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
        sizes = [PAGE_BYTES * 2 // 5] * 3 + [2 * PAGE_BYTES] + [1_000] * 3 + [PAGE_BYTES * 2 // 5] * 2
        made = [make(session, ann, "é" * (size // 2)) for size in sizes]
        make(session, bob, "é")

    pages: list[list[str]] = []
    before = None
    while not pages or before is not None:
        with database.read() as session:
            loaded: list[str] = []
            event.listen(session, "loaded_as_persistent", lambda _, row, to=loaded: to.append(getattr(row, "id", "")))
            found = listed(session, user_id=ann, before=before, limit=4)
        pages.append([key(row) for row in found])
        assert set(loaded) & set(made) == set(pages[-1])
        before = found.ends_at

    newest = made[::-1]
    assert pages == [newest[:4], newest[4:5], newest[5:6], newest[6:8], newest[8:]]


@pytest.mark.parametrize("name", LISTS)
def test_small_rows_are_bounded_by_number(session: Session, name: str) -> None:
    """A full page is followed by another one if and only if there are more rows."""
    make, listed = LISTS[name]
    ann = factories.user(session)
    made = [make(session, ann, "small") for _ in range(3)]

    shown = [listed(session, user_id=ann, before=None, limit=limit) for limit in (2, 3, 4)]

    assert [[key(row) for row in found] for found in shown] == [made[:0:-1], made[::-1], made[::-1]]
    assert [found.ends_at for found in shown] == [made[1], None, None]
    assert listed(session, user_id=ann, before=made[0], limit=2).ends_at is None


def test_the_last_finished_are_as_many_as_fit(session: Session) -> None:
    """Of the jobs of a run that finished last the newest are kept that a page has room for, and never none."""
    ann, worker = factories.user(session), factories.worker(session)
    large = '"' + "x" * (PAGE_BYTES * 2 // 5) + '"'
    id_, _ = start(session, ann, *factories.submissions(3, payload=large), factories.submission(payload=f'"{"x" * PAGE_BYTES}"'))
    *others, largest = factories.take(session, worker)
    for job in others:
        ends(session, worker, job)
    assert runs.last_finished(session, run_id=id_, limit=10) == [others[2].id, others[1].id]

    ends(session, worker, largest)

    assert runs.last_finished(session, run_id=id_, limit=10) == [largest.id]


def test_definitions_are_listed_without_their_scenarios(database: Database) -> None:
    """However large scenarios are, a list of definitions does not read them."""
    with database.write() as session:
        ann = factories.user(session)
        made = evaluations.create(session, user_id=ann, name="large", scenarios="[]", scenario_count=0).id
    with database.read() as session:
        (found,) = evaluations.listed(session, user_id=ann, before=None, limit=10)
        assert (found.id, found.name, inspect(found).unloaded) == (made, "large", {"scenarios"})


def test_a_plan_s_job_is_read_without_what_the_plan_has(database: Database) -> None:
    """Of the job of each plan only how it stands is read, for its payload has the goals again."""
    with database.write() as session:
        ann, plan = factories.user(session), new_id()
        plans.create(session, plan_id=plan, user_id=ann, title="plan", goals=["goal"])
        (job,) = factories.submit(session, ann, factories.submission(plans.CREATE_TASKS, subject=plan))
        assert plans.approve(session, plan_id=plan, user_id=ann, job_id=job, instead_of=None)
    with database.read() as session:
        (view,) = plans.listed(session, user_id=ann, before=None, limit=10)
        assert view.job is not None
        assert {"payload", "result"} <= inspect(view.job).unloaded
        assert view.status == "processing"
