"""Runs: exact counters whatever becomes of the jobs, a status that is read off them, and what failure means for the rest."""

from typing import Any

import pytest
from sqlmodel import Session

from persistence import (
    attempts,
    cancellation,
    dispatch,
    orphans,
    prune,
    replays,
    rescue,
    runs,
    workers,
)
from persistence.attempts import Ending
from persistence.errors import ConcurrentJobLimitError, NotFoundError
from persistence.statements import Rows, run
from tests import factories
from tests.integration.persistence.run_steps import ends, letter_of, standing, start


def test_a_run_goes_from_pending_to_completed(session: Session) -> None:
    """Nothing started, something started, nothing left: the status follows the counts, and the moments are kept."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    assert standing(session, id_) == ("pending", {"queued": 3})

    first, second, third = factories.take(session, worker)
    assert standing(session, id_) == ("running", {"processing": 3})
    ends(session, worker, first)
    ends(session, worker, second, Ending.RETRY)
    assert standing(session, id_) == ("running", {"queued": 1, "processing": 1, "completed": 1})
    ends(session, worker, third, Ending.FAILED)
    (again,) = factories.take(session, worker)
    ends(session, worker, again)

    assert standing(session, id_) == ("completed", {"completed": 2, "failed": 1})
    found = runs.get(session, run_id=id_, user_id=ann)
    assert (found.name, found.config, found.total) == ("nightly", '{"seed":7}', 3)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.created_at <= found.started_at <= found.finished_at


def test_a_snooze_does_not_make_a_run_pending_again(session: Session) -> None:
    """A run that has begun has begun, though nothing of it is being processed at the moment."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission())
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.SNOOZED, delay_seconds=3600.0)
    assert standing(session, id_) == ("running", {"queued": 1})


def test_a_refused_run_leaves_nothing(session: Session) -> None:
    """A run that the tier has no room for is turned away with all its jobs."""
    ann = factories.user(session, tier=factories.tier(session, "two", max_active=2))
    with pytest.raises(ConcurrentJobLimitError):
        start(session, ann, *factories.submissions(3, tags=("x",)))
    counts = [run(session, f"SELECT count(*) FROM {table}").scalar_one() for table in ("runs", "run_groups", "jobs")]
    assert counts == [0, 0, 0]


def test_a_message_s_claim_counts(session: Session) -> None:
    """With a broker that has messages a job is counted as processing when it is claimed, and not when it is sent."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    sent = factories.take(session, None, mode=dispatch.Mode.SEND)
    assert standing(session, id_) == ("pending", {"queued": 3})
    attempts.claim(session, worker, [(job.id, job.dispatch_no) for job in sent[:2]])
    assert standing(session, id_) == ("running", {"queued": 1, "processing": 2})


def test_a_refused_outcome_counts_nothing(session: Session) -> None:
    """What the fence refuses is not counted, and what is written twice is counted once."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann)
    first, second, _ = factories.take(session, worker)
    cancellation.cancel(session, job_id=first.id, user_id=ann)
    assert standing(session, id_)[1] == {"processing": 2, "cancelled": 1}
    assert factories.finish(session, worker, first, Ending.COMPLETED, result="1") == set()
    ends(session, worker, second)
    assert factories.finish(session, worker, second, Ending.COMPLETED, result="1") == set()
    assert standing(session, id_)[1] == {"processing": 1, "completed": 1, "cancelled": 1}


def test_a_rescue_counts(session: Session) -> None:
    """What a dead worker held goes back to queued, or to failed after its last attempt; each is counted."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission(), factories.submission(max_attempts=1), factories.submission())
    first, *_ = factories.take(session, worker)
    ends(session, worker, first)
    workers.declare_dead(session, worker_id=worker, beat_no=0)

    assert rescue.rescue(session) == 2

    assert standing(session, id_) == ("running", {"queued": 1, "completed": 1, "failed": 1})


def test_a_type_that_nobody_performs_counts(session: Session) -> None:
    """A job that fails because nobody performs its type is counted as failed."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission("strange.type", tags=("model:a",)))
    assert orphans.fail_type(session, kind="strange.type", worker_id=worker) == 1
    assert standing(session, id_) == ("completed", {"failed": 1})
    assert runs.by_tag(session, run_id=id_)[1]["model:a"]["failed"] == 1


def test_a_replay_opens_a_run_again(session: Session) -> None:
    """A replayed job is counted back, and its run goes on until it has ended again."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, (job,) = start(session, ann, factories.submission())
    (taken,) = factories.take(session, worker)
    ends(session, worker, taken, Ending.FAILED)
    assert standing(session, id_) == ("completed", {"failed": 1})

    replays.replay(session, letter_id=letter_of(session, job), user_id=ann)
    replays.replay(session, letter_id=letter_of(session, job), user_id=ann)

    assert standing(session, id_) == ("running", {"queued": 1})
    assert runs.get(session, run_id=id_, user_id=ann).finished_at is None
    (again,) = factories.take(session, worker)
    ends(session, worker, again, Ending.FAILED)
    assert len(replays.replay_many(session, user_id=ann).jobs) == 1
    (again,) = factories.take(session, worker)
    ends(session, worker, again)
    assert standing(session, id_) == ("completed", {"completed": 1})


def test_follow_ups_join_the_run(session: Session) -> None:
    """A job that follows one of a run belongs to it, with its own tags, and is counted from its beginning on."""
    ann, worker = factories.user(session), factories.worker(session)
    id_, _ = start(session, ann, factories.submission(tags=("model:a",)))
    (taken,) = factories.take(session, worker)
    follow_ups = [factories.submission(tags=("model:b",)), factories.submission()]
    ends(session, worker, taken, follow_ups=follow_ups)

    assert standing(session, id_) == ("running", {"queued": 2, "completed": 1})
    by_model = runs.by_tag(session, run_id=id_, key="model")[1]
    assert (by_model["a"]["completed"], by_model["b"]["queued"]) == (1, 1)
    assert {taken.run_id for taken in factories.take(session, worker)} == {id_}


def test_progress_by_tag(session: Session) -> None:
    """Jobs are counted by each of their tags, and by the values of those that have one; a part of a name is no match."""
    ann, worker = factories.user(session), factories.worker(session)
    asked = [
        factories.submission(tags=("model:a", "easy")),
        factories.submission(tags=("easy", "model:a")),
        factories.submission(tags=("model:b", "supermodel:c")),
        factories.submission(),
    ]
    id_, _ = start(session, ann, *asked)
    taken = factories.take(session, worker, room=1)
    ends(session, worker, taken[0])

    assert set(runs.by_tag(session, run_id=id_)[1]) == {"model:a", "easy", "model:b", "supermodel:c"}
    assert runs.by_tag(session, run_id=id_)[1]["easy"] == {
        "queued": 1, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert {model: sum(counts.values()) for model, counts in runs.by_tag(session, run_id=id_, key="model")[1].items()} == {
        "a": 2, "b": 1,
    }  # fmt: skip
    assert run(session, "SELECT count(*) FROM run_groups").scalar_one() == 2  # whatever the order of the tags


def test_percent_is_whole_only_at_the_end() -> None:
    """What is not over is never shown as 100 percent."""
    counts = dict.fromkeys(runs.COUNTED, 0)
    assert runs.percent(counts | {"completed": 9999, "queued": 1}) == 99.9
    assert runs.percent(counts | {"completed": 1, "failed": 1, "cancelled": 1}) == 100.0
    assert runs.percent(counts | {"completed": 1, "queued": 2}) == 33.3


def test_a_run_is_pruned_as_a_whole(session: Session) -> None:
    """Finished jobs of a run stay until all of it is over for long enough; then it goes with them."""
    ann, worker = factories.user(session), factories.worker(session)
    start(session, ann, *factories.submissions(2, tags=("x",)))
    first, second = factories.take(session, worker)
    ends(session, worker, first)
    assert prune.prune(session, older_than_seconds=-1.0) == 0
    ends(session, worker, second)

    assert prune.prune(session, older_than_seconds=-1.0) == 0
    assert runs.listed(session, user_id=ann, before=None, limit=10) == []
    factories.submit(session, ann)
    assert prune.prune(session, older_than_seconds=-1.0) == 2

    counts = [run(session, f"SELECT count(*) FROM {table}").scalar_one() for table in ("runs", "run_groups", "jobs")]
    assert counts == [0, 0, 1]


def test_a_run_and_its_tags_are_read_at_one_moment(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """One statement reads both: between two, jobs could move from one count to the other."""
    id_, _ = start(session, factories.user(session), factories.submission(tags=("model:a",)))
    seen = spied(monkeypatch)

    read, by_model = runs.by_tag(session, run_id=id_, key="model")

    assert (read.counts["queued"], by_model["a"]["queued"]) == (1, 1)
    assert len(seen) == 1


def test_a_config_is_not_read_with_each_group(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting by tag brings a row for each group of a run, of which one at most has the config."""
    ann = factories.user(session)
    id_, _ = start(session, ann, *(factories.submission(tags=(f"model:{number}",)) for number in range(3)))
    seen = spied(monkeypatch)

    found, counted = runs.by_tag(session, run_id=id_)

    assert (len(counted), found.config) == (3, '{"seed":7}')
    assert sorted(row.config is None for row in seen[0]) == [False, True, True]
    runs.by_tag(session, run_id=id_, with_config=False)
    assert {row.config for row in seen[1]} == {None}


def test_whole_runs_are_read_by_tag(session: Session) -> None:
    """What is read with the counts is what is read without them, and nobody else's."""
    ann, bob = factories.user(session), factories.user(session, "bob")
    id_, _ = start(session, ann, factories.submission(tags=("model_a:b", "modelxa:c")))
    whole = runs.get(session, run_id=id_, user_id=ann)

    found, counted = runs.by_tag(session, run_id=id_, user_id=ann, key="model_a")

    assert found.model_dump() == whole.model_dump()
    assert list(counted) == ["b"]
    assert runs.by_tag(session, run_id=id_, key="%")[1] == {}
    with pytest.raises(NotFoundError):
        runs.by_tag(session, run_id=id_, user_id=bob)


def spied(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """Note what each statement of the module returns from now on."""
    seen: list[Rows] = []

    def spy(*given: Any, **parameters: Any) -> Rows:
        seen.append(run(*given, **parameters))
        return seen[-1]

    monkeypatch.setattr(runs, "run", spy)
    return seen
