from typing import Any

import pytest
from sqlmodel import Session

from persistence import copying, job_views
from persistence.jobs import Job
from persistence.statements import run
from tests import factories

PAYLOAD = '{"tab":"\\t","path":"C:\\\\new\\\\N","line":"a\\nb","text":"☃ \\\\."}'


def rows_of(session: Session, jobs: list[str]) -> list[dict[str, Any]]:
    """Read jobs with all that they began with, but for what tells one from another."""
    views = job_views.of(session, job_ids=jobs, user_id=None)
    own = {"id", "created_at"}
    return [{name: getattr(view.job, name) for name in Job.model_fields if name not in own} for view in reversed(views)]


def test_many_jobs_are_written_like_few(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bulk that is copied gives the same rows, transitions and counters as one that is inserted, whatever the texts hold."""
    ann, bob = factories.user(session, "ann"), factories.user(session, "bob")
    wishes: tuple[dict[str, Any], ...] = (
        {"payload": PAYLOAD, "tags": ("a b", "back\\slash")},
        {"run_after": factories.moment("2100-01-01T01:00:00+01:00"), "priority": 10},
        {"run_after": factories.moment("2000-01-01T00:00:00Z"), "subject": factories.user(session, "a-subject")},
    )

    def submit(user: str) -> list[str]:
        (parent,) = factories.submit(session, user)
        jobs = [factories.submission(**wish) for wish in (*wishes, {"depends_on": (parent,)})]
        return factories.submit(session, user, *jobs)

    inserted = submit(ann)
    monkeypatch.setattr(copying, "FEWEST_ROWS", 2)
    copied = submit(bob)

    rows = rows_of(session, inserted)
    assert rows_of(session, copied) == [{**row, "user_id": bob} for row in rows]
    assert [row["blocked_by"] for row in rows] == [None, "schedule", None, "dependency"]
    assert rows[0]["payload"] == PAYLOAD
    for table in ("ready", "unfinished"):
        assert getattr(factories.fetch(session, "users", ann), table) == getattr(factories.fetch(session, "users", bob), table)
    steps = "SELECT seq, from_status, to_status, attempt, claim_no FROM transitions WHERE user_id = :user"
    assert run(session, steps, user=ann).all() == run(session, steps, user=bob).all()
