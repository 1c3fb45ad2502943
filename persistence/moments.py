"""Moments: when a cron expression fires in a time zone, changes of its clocks included."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from persistence.errors import ValidationError

_FIELDS = 5
# So many missed moments are gone through one by one; of more only the latest are looked for, from now backwards.
_MOST_STEPS = 2_000


def zone(name: str) -> ZoneInfo:
    """Find a time zone by its name in the IANA database.

    :raises ValidationError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationError("timezone: not a name of the IANA database, such as Europe/Berlin", field="timezone") from error


def next_moment(cron: str, timezone: str, *, after: datetime) -> datetime:
    """Find the first moment after another one.

    :param cron: five fields: minute, hour, day of month, month, day of week.
    :raises ValidationError: the expression or the zone is not valid, or it never fires.
    """
    for moment in _from(cron, timezone, after):
        return moment
    raise ValidationError("cron: it never fires", field="cron")


def passed(cron: str, timezone: str, *, first: datetime, now: datetime, most: int) -> tuple[list[datetime], int]:
    """List the moments that have come since the first of them.

    :param first: a moment of the expression, not after `now`.
    :param most: how many to list, the latest; at least 1.
    :returns: the moments in their order, and how many came before them; at least so many, where they are thousands.
    """
    count = 1
    latest = deque([first], maxlen=most)
    for moment in islice(_from(cron, timezone, first), _MOST_STEPS):
        if moment > now:
            return list(latest), count - len(latest)
        latest.append(moment)
        count += 1
    backwards = []
    for moment in islice(_from(cron, timezone, now, reverse=True), most):
        if moment <= latest[-1]:
            break
        backwards.append(moment)
    latest.extend(reversed(backwards))
    return list(latest), count + len(backwards) - len(latest)


def _from(cron: str, timezone: str, after: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    if len(cron.split()) != _FIELDS:
        raise ValidationError("cron: needs five fields: minute, hour, day of month, month, day of week", field="cron")
    try:
        moments = CronSim(cron, after.astimezone(zone(timezone)), reverse=reverse)
    except CronSimError as error:
        raise ValidationError(f"cron: {error}", field="cron") from error
    # In the hour that a clock repeats, the library may begin with a moment of its first time.
    return (one for one in (moment.astimezone(UTC) for moment in moments) if (one < after if reverse else one > after))
