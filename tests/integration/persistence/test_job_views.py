from typing import Any

import pytest
from sqlmodel import Session

from persistence import files, job_lists, job_views, pauses, positions
from persistence.attempts import Ending
from persistence.database import now
from persistence.errors import NotFoundError
from persistence.job_lists import Filters
from persistence.pages import PAGE_BYTES
from persistence.states import Status, WaitingFor
from persistence.workers import set_type_limits
from tests import factories


def view(session: Session, job: str) -> job_views.JobView:
    """Read one job."""
    return job_views.get(session, job_id=job, user_id=None)


def page(session: Session, user_id: str | None, *, limit: int = 200, before: str | None = None, **words: Any) -> list[str]:
    """List the ids of one page."""
    filters = Filters(status=Status(words["status"]) if "status" in words else None, type=words.get("type"), tag=words.get("tag"))
    return job_lists.ids(session, user_id=user_id, filters=filters, before=before, limit=limit)[0]


def test_position_is_one_more_than_what_stands_ahead(session: Session) -> None:
    """The position counts one's slots and the better and older jobs of the lane; others' jobs don't count."""
    ann, bob = factories.user(session, "ann", tier="pro"), factories.user(session, "bob")
    factories.submit(session, bob, *factories.submissions(4))
    plain = factories.submit(session, ann, *factories.submissions(9))
    (high,) = factories.submit(session, ann, factories.submission(priority=10))
    worker = factories.worker(session)
    held = {taken.id for taken in factories.take(session, worker) if taken.user_id == ann}

    positions = {v.job.id: v.position for v in job_views.of(session, job_ids=[*plain, high], user_id=ann)}

    assert high in held
    assert [positions[job] for job in plain] == [None] * 4 + [6, 7, 8, 9, 10]
    assert {job: view(session, job).position for job in plain} == {job: positions[job] for job in plain}


def test_positions_of_a_page_with_gaps(session: Session) -> None:
    """Jobs of a page count what lies between them and is not on the page."""
    ann = factories.user(session)
    jobs = factories.submit(session, ann, *factories.submissions(10))

    shown = job_views.of(session, job_ids=[jobs[1], jobs[4], jobs[9]], user_id=ann)

    assert [v.position for v in shown] == [10, 5, 2]


def test_far_inside_a_long_lane_a_position_is_an_estimate(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near both ends of a lane positions are exact, alone and on a page; between them they are in order and in range."""
    ann = factories.user(session)
    jobs = factories.submit(session, ann, *factories.submissions(20))
    monkeypatch.setattr(positions, "FAR", 5)

    alone = [view(session, job).position or 0 for job in jobs]
    shown = {v.job.id: v.position for v in job_views.of(session, job_ids=[*jobs[:3], jobs[18]], user_id=ann)}

    assert (alone[:5], alone[-4:]) == ([1, 2, 3, 4, 5], [17, 18, 19, 20])
    assert alone == sorted(alone)
    assert [shown[job] for job in jobs[:3]] == [1, 2, 3]


def test_every_queued_job_says_why_it_waits(session: Session) -> None:
    """Each reason is told by what causes it, and a job that is not queued has none."""
    ann = factories.user(session, tier="free")
    soon = factories.submission(run_after=factories.moment("2100-01-01T00:00:00Z"))
    parent, later, child = factories.submit(session, ann, factories.submission(), soon, factories.submission(), at_the_door=False)
    dependant = factories.submission(depends_on=(parent,))
    (after,) = factories.submit(session, ann, dependant, at_the_door=False)
    assert view(session, parent).waiting_for is WaitingFor.WORKER
    assert view(session, later).waiting_for is WaitingFor.SCHEDULE
    assert view(session, after).waiting_for is WaitingFor.DEPENDENCY

    factories.take(session, factories.worker(session))

    assert view(session, parent).waiting_for is None
    assert view(session, child).waiting_for is WaitingFor.USER_LIMIT
    pauses.pause(session, pauses.Scope(type=factories.TYPE))
    assert view(session, child).waiting_for is WaitingFor.PAUSED


def test_a_full_type_limit_is_a_reason(session: Session) -> None:
    """A job whose type has no room left anywhere waits for its type limit."""
    ann = factories.user(session)
    set_type_limits(session, {"tests.*": 1})
    factories.submit(session, ann, *factories.submissions(2))
    taken = factories.take(session, factories.worker(session), limits={factories.TYPE: "tests.*"})

    (waiting,) = page(session, ann, status="queued")

    assert len(taken) == 1
    assert view(session, waiting).waiting_for is WaitingFor.TYPE_LIMIT


@pytest.mark.parametrize("admin", [False, True])
def test_lists_show_the_newest_first_by_each_filter(session: Session, *, admin: bool) -> None:
    """Each filter and each pair of them gives exactly the jobs that fit, newest first, page by page."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    mine = factories.submit(
        session,
        ann,
        *(
            factories.submission("tests.a" if n % 2 else "tests.b", tags=("red",) if n % 3 else ("blue", "red"))
            for n in range(12)
        ),
    )
    theirs = factories.submit(session, bob, factories.submission("tests.a", tags=("red",)))
    factories.take(session, factories.worker(session), room=3, types=("tests.a", "tests.b"))
    see = None if admin else ann
    visible = sorted([*mine, *theirs] if admin else mine, reverse=True)
    rows = {job: factories.fetch(session, "jobs", job) for job in visible}

    def fits(job: str, words: dict[str, str]) -> bool:
        row = rows[job]
        tags = row.tags.split("\n")
        return (
            words.get("status", row.status) == row.status
            and words.get("type", row.type) == row.type
            and words.get("tag", tags[0]) in tags
        )

    wishes: tuple[dict[str, Any], ...] = (
        {},
        {"status": "queued"},
        {"status": "processing"},
        {"type": "tests.a"},
        {"tag": "red"},
        {"tag": "blue"},
        {"type": "tests.a", "status": "queued"},
        {"tag": "red", "type": "tests.b"},
        {"tag": "red", "status": "queued"},
        {"type": "tests.unknown"},
    )
    for words in wishes:
        expected = [job for job in visible if fits(job, words)]
        assert page(session, see, **words) == expected, words
        if len(expected) > 2:
            assert page(session, see, limit=2, before=expected[0], **words) == expected[1:3], words


def test_a_page_is_bounded_in_bytes(session: Session) -> None:
    """A page of large jobs ends early, is never empty, and says that there are more."""
    ann = factories.user(session)
    large = '"' + "é" * (PAGE_BYTES // 4) + '"'
    jobs = factories.submit(session, ann, *factories.submissions(3, payload=large))

    shown, more = job_lists.ids(session, user_id=ann, filters=Filters(), before=None, limit=50)

    assert shown == [jobs[2]]
    assert more


def test_attempts_are_told_from_the_trail(session: Session) -> None:
    """A retry, a snooze and a completion make three attempts, each with its own end, and only the last has the result."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann)
    worker = factories.worker(session)
    error = '{"type":"OSError","message":"no","retryable":true,"attempt":1}'
    for ending, words in (
        (Ending.RETRY, {"error": error}),
        (Ending.SNOOZED, {}),
        (Ending.COMPLETED, {"result": "[1]"}),
    ):
        (taken,) = factories.take(session, worker)
        factories.finish(session, worker, taken, ending, **words)

    tries = job_views.attempts(session, job_id=job, user_id=ann)

    assert [(t.attempt, t.status) for t in tries] == [(1, "failed"), (2, "snoozed"), (2, "completed")]
    assert [t.error for t in tries] == [error, None, None]
    assert [t.result for t in tries] == [None, None, "[1]"]
    assert {t.worker for t in tries} == {worker}
    assert all(t.finished_at and t.started_at <= t.finished_at for t in tries)
    assert len(job_views.attempts(session, job_id=job, user_id=ann, after=tries[0].seq, limit=1)) == 1


def test_foreign_jobs_are_as_good_as_none(session: Session) -> None:
    """No read by id gives somebody else's job or its files away."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    (job,) = factories.submit(session, ann)
    files.save(session, job_id=job, name="a.txt", media_type="text/plain", chunks=[b"a"], now=now(session))

    for read in (job_views.get, job_views.history, job_views.attempts):
        with pytest.raises(NotFoundError):
            read(session, job_id=job, user_id=bob)
        assert read(session, job_id=job, user_id=ann) is not None
    with pytest.raises(NotFoundError):
        files.find(session, job_id=job, name="a.txt", user_id=bob)


def test_files_are_kept_in_pieces_and_replaced_by_name(session: Session) -> None:
    """A second file of the same name takes the first one's place, and its pieces come back in order."""
    ann = factories.user(session)
    (job,) = factories.submit(session, ann)
    for chunks in ([b"old"], [b"new ", b"content"]):
        files.save(session, job_id=job, name="a.txt", media_type="text/plain", chunks=chunks, now=now(session))

    (file,) = view(session, job).files
    pieces = [files.chunk(session, file_id=file.id, number=number) for number in range(3)]

    assert (file.name, file.bytes) == ("a.txt", 11)
    assert pieces == [b"new ", b"content", None]
