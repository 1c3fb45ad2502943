"""The takings by a direct call: no worker, no database, no server."""

from pathlib import Path

import pytest
from box_office.jobs import Show, takings

from actors.job import JobContext, Permanent, Retryable

HAMLET = "seat,cents\nA1,4000\nA2,4000\nB7,2550\n"


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder into which the tills export."""
    monkeypatch.setenv("BOX_OFFICE_EXPORTS", str(tmp_path))
    return tmp_path


def test_takings_are_added_up(exports: Path) -> None:
    """The sum, a report, progress by sale, and a letter for who wants one."""
    (exports / "hamlet.csv").write_text(HAMLET)
    job = JobContext.for_test()
    taken = takings(job, Show("hamlet", mail_to="manager"))
    assert (taken.seats, taken.cents, taken.dearest) == (3, 10550, "A1")
    assert job.files["report.txt"].decode().splitlines()[-1].split() == ["total", "10550"]
    assert job.steps[-1] == (100, "sale 3 of 3")
    assert [(sent.type, sent.payload["to"]) for sent in job.sent] == [("box_office.mail", "manager")]


def test_an_export_may_come_later(exports: Path) -> None:
    """What is not there yet is worth another try."""
    with pytest.raises(Retryable, match="not exported faust yet"):
        takings(JobContext.for_test(), Show("faust"))


@pytest.mark.parametrize("export", ["", "seat;cents\n", "seat,cents\nA1,forty\n", "seat,cents\nA1\n"])
def test_what_is_no_export_never_will_be(exports: Path, export: str) -> None:
    """A wrong file is wrong at every try."""
    (exports / "hamlet.csv").write_text(export)
    with pytest.raises(Permanent):
        takings(JobContext.for_test(), Show("hamlet"))
