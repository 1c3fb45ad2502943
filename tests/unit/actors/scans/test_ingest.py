"""Ingest: how long it goes on, what it leaves behind, and how long a rate limit is waited for."""

import os
import tempfile
from pathlib import Path

import httpx
import pytest

from actors.job import JobContext, Snooze
from actors.scans import github, ingest
from actors.scans.errors import RepositoryUnreachableError, RepositoryUnreadableError
from actors.scans.ingest import Ingest
from persistence.scans import Begun

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
NOON = 1795435200  # the same moment, in seconds since 1970


def test_a_long_one_lets_others_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the job goes back to its lane without using an attempt, if it got on; if it did not it goes on."""
    work = Ingest(JobContext.for_test(), "a scan", Begun(cursor=7, pulls=20, ingested=7, embedded=0), most=100)
    monkeypatch.setattr(ingest, "_LONG_SECONDS", -1.0)
    work.rest()
    work.cursor = 8
    with pytest.raises(Snooze):
        work.rest()
    monkeypatch.setattr(ingest, "_LONG_SECONDS", 3600.0)
    work.rest()


def test_copies_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt's folder goes with it, whatever ends it; what a killed worker left a day ago goes, too, and nothing else."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, new, other = (tmp_path / name for name in ("greenroom-scan-old", "greenroom-scan-new", "somebody-elses"))
    for folder in (old, new, other):
        (folder / "inside").mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (1, 1))

    with pytest.raises(RuntimeError), ingest._folder() as mine:
        (mine / "copy.git").mkdir()
        assert not old.exists()
        raise RuntimeError

    assert sorted(tmp_path.iterdir()) == [new, other]


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON + 90), "date": DATE}, 91, id="reset"),
        pytest.param(429, {"retry-after": "7"}, 7, id="retry-after"),
        pytest.param(403, {"retry-after": "0"}, 1, id="at-once"),
        pytest.param(429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON - 5), "date": DATE}, 1, id="past"),
        pytest.param(429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 30, "date": DATE}, 86_400, id="never"),
        pytest.param(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon", "date": DATE}, 60, id="words"),
        pytest.param(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON), "date": "today"}, 60, id="no-date"),
    ],
)
def test_a_rate_limit_is_waited_for(status: int, headers: dict[str, str], seconds: float) -> None:
    """As long as the host says by its own clock, at least a second and at most a day."""
    refusal = github._refusal(httpx.Response(status, headers=headers))
    assert isinstance(refusal, Snooze)
    assert refusal.until == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (403, {"x-ratelimit-remaining": "12"}, RepositoryUnreadableError),
        (403, {}, RepositoryUnreadableError),
        (429, {}, RepositoryUnreachableError),
        (404, {}, RepositoryUnreadableError),
        (302, {"location": "http://127.0.0.1/"}, RepositoryUnreadableError),
        (502, {}, RepositoryUnreachableError),
        (418, {}, RepositoryUnreadableError),
    ],
)
def test_other_refusals(status: int, headers: dict[str, str], kind: type[Exception]) -> None:
    """What may change is tried again, and what will not is not."""
    assert type(github._refusal(httpx.Response(status, headers=headers))) is kind
