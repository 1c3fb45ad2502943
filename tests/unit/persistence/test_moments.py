"""Moments: cron expressions in time zones whose clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import ValidationError
from persistence.firing import job_id_of
from persistence.ids import is_id, new_id
from persistence.moments import next_moment, passed

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def utc(text: str) -> datetime:
    """Read a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(cron: str, zone: str, after: str, count: int) -> list[str]:
    """List the next moments, in UTC."""
    moments = [utc(after)]
    for _ in range(count):
        moments.append(next_moment(cron, zone, after=moments[-1]))
    return [f"{moment:%m-%d %H:%M}" for moment in moments[1:]]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # In spring the clocks skip from 2:00 to 3:00: what falls into the gap fires right after it.
        ("30 2 * * *", BERLIN, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("0 9 * * *", BERLIN, "2026-03-28 12:00", ["03-29 07:00", "03-30 07:00", "03-31 07:00"]),
        # In autumn 2:30 comes twice and fires once; what fires every half hour goes on through both.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("*/30 * * * *", BERLIN, "2026-10-25 00:00", ["10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31 12:00", ["11-01 05:30", "11-02 06:30", "11-03 06:30"]),
        # Half an hour is changed by here.
        ("45 1 * * *", LORD_HOWE, "2026-04-03 20:00", ["04-04 14:45", "04-05 15:15", "04-06 15:15"]),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
    ],
)
def test_clocks_that_change(cron: str, zone: str, after: str, expected: list[str]) -> None:
    """A time of day fires once a day, on the days too on which it does not exist or comes twice."""
    assert following(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 * * * *", "*/15 1-3 * * *", "15 2 * * 0"])
def test_a_year_of_moments_only_rises(cron: str, zone: str) -> None:
    """Over a year with both changes each moment comes after the one before, and a daily one fires on each day."""
    moments = [utc("2026-01-01 00:00")]
    while moments[-1] < utc("2027-01-01 00:00"):
        moments.append(next_moment(cron, zone, after=moments[-1]))
    assert all(before < after for before, after in pairwise(moments))
    if cron == "30 2 * * *":
        assert len(moments) - 2 in {365, 366}


@pytest.mark.parametrize(
    "cron",
    ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "61 * * * *", "* * * *", "* * * * * *", "@daily", "", "a b c d e", "0 0 0 0 0"],
)
def test_what_never_fires_is_refused(cron: str) -> None:
    """Expressions that are not valid, or name days that no year has, are refused with the field's name."""
    with pytest.raises(ValidationError) as caught:
        next_moment(cron, "UTC", after=utc("2026-01-01 00:00"))
    assert caught.value.fields["field"] == "cron"


@pytest.mark.parametrize("zone", ["Mars/Phobos", "../../etc/passwd", "/etc/localtime", "", "Europe", "\0"])
def test_zones_that_do_not_exist_are_refused(zone: str) -> None:
    """Only names of the IANA database are zones; nothing else of the machine's files is read by them."""
    with pytest.raises(ValidationError) as caught:
        next_moment("* * * * *", zone, after=utc("2026-01-01 00:00"))
    assert caught.value.fields["field"] == "timezone"


def test_passed_lists_the_latest() -> None:
    """Of the moments that have come the latest are listed, and those before them counted."""
    first, now = utc("2026-01-01 00:00"), utc("2026-01-01 05:30")
    hours = [first + timedelta(hours=hour) for hour in range(6)]
    assert passed("0 * * * *", "UTC", first=first, now=now, most=100) == (hours, 0)
    assert passed("0 * * * *", "UTC", first=first, now=now, most=2) == (hours[-2:], 4)
    assert passed("0 * * * *", "UTC", first=first, now=first, most=1) == ([first], 0)


def test_years_of_missed_minutes_take_no_time() -> None:
    """After an absence of years the latest moments are found without going through all of them."""
    first, now = utc("2020-01-01 00:00"), utc("2026-01-01 00:00")
    moments, missed = passed("* * * * *", BERLIN, first=first, now=now, most=3)
    assert moments[-1] in {now, now - timedelta(minutes=1)}
    assert [after - before for before, after in pairwise(moments)] == [timedelta(minutes=1)] * 2
    assert missed >= 1_000


@given(schedule=st.uuids(), minutes=st.integers(0, 10**7))
def test_a_moment_s_job_has_one_id(schedule: object, minutes: int) -> None:
    """The id follows from schedule and moment, is a UUIDv7 that sorts by the moment, and differs for all others."""
    moment = utc("2026-01-01 00:00") + timedelta(minutes=minutes)
    id_ = job_id_of(str(schedule), moment)
    assert is_id(id_)
    assert (id_[14], id_[19] in "89ab") == ("7", True)
    assert id_ == job_id_of(str(schedule), moment)
    assert id_ < job_id_of(str(schedule), moment + timedelta(minutes=1))
    assert id_ != job_id_of(new_id(), moment)


@pytest.mark.parametrize("minute", range(0, 60, 10))
def test_the_next_moment_lies_ahead_in_a_repeated_hour(minute: int) -> None:
    """While a clock shows an hour for the second time, what fired in it the first time does not fire again."""
    after = utc(f"2026-11-01 06:{minute:02}")  # the second 1 o'clock in New York
    assert next_moment("30 1 * * *", NEW_YORK, after=after) > after
