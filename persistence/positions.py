"""Positions: how many jobs stand before a waiting one in its user's lane."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from sqlmodel import Session

from persistence.batches import Batch
from persistence.counters import LockedUser
from persistence.jobs import IN_LANE, Job
from persistence.statements import run

# Jobs are counted one by one up to here, from the front or from the back. Further inside a longer lane a position is an
# estimate, for whoever asks where one of 100,000 jobs stands must not cost the database as much as 100,000 jobs.
FAR = 2_000


def ahead(session: Session, jobs: Sequence[Job], ready: Mapping[str, int]) -> dict[str, int]:
    """Count for each waiting job those that stand before it.

    A page's jobs are often neighbours in one lane. Each counts from the one before it in the page, so that the lane is
    gone through once and not once a job.

    :param ready: the length of each user's lane.
    :returns: the numbers by job id; what stands `FAR` from both ends is estimated by the age of its id.
    """
    lanes: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for job in jobs:
        lanes[job.user_id, job.priority].append(job.id)
    for ids in lanes.values():
        ids.sort()
    firsts = [(*lane, ids[0]) for lane, ids in lanes.items()]
    counts = _count(session, _AHEAD, firsts)
    far = [row for row in firsts if counts[row[2]] >= FAR]
    for (user, priority, id_), behind in zip(far, _count(session, _BEHIND, far).values(), strict=True):
        is_near_the_end = behind < FAR
        counts[id_] = max(FAR, ready[user] - behind if is_near_the_end else _estimate(session, user, priority, id_, ready[user]))
    steps = _count(session, _BETWEEN, [(*lane, *pair) for lane, ids in lanes.items() for pair in pairwise(ids)])
    for ids in lanes.values():
        for before, after in pairwise(ids):
            counts[after] = counts[before] + steps[after]
    return counts


def _estimate(session: Session, user_id: str, priority: int, job_id: str, ready: int) -> int:
    lane = f"FROM jobs WHERE {IN_LANE} AND user_id = :user AND priority = :priority ORDER BY id"
    row = run(
        session,
        f"SELECT (SELECT id {lane} LIMIT 1) AS oldest, (SELECT id {lane} DESC LIMIT 1) AS newest",
        user=user_id,
        priority=priority,
    ).one()
    if row.oldest is None:
        return FAR
    oldest, newest, mine = (_milliseconds(str(one)) for one in (row.oldest, row.newest, job_id))
    share = (mine - oldest) / max(1, newest - oldest)
    return round(FAR + (ready - 2 * FAR) * min(1.0, max(0.0, share)))


def _milliseconds(job_id: str) -> int:
    return int(job_id.replace("-", "")[:12], 16)


def _some(condition: str) -> str:
    """Count the jobs of the lane that meet a condition, up to `FAR`."""
    return f"""(SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.status = 'queued' AND j.blocked_by IS NULL AND NOT j.slot
        AND j.user_id = b.user_id AND {condition} LIMIT :far) AS counted)"""


_COLUMNS = {"user_id": "uuid", "priority": "int", "id": "uuid"}
_AHEAD = (_COLUMNS, _some("j.priority > b.priority") + " + " + _some("j.priority = b.priority AND j.id < b.id"))
_BEHIND = (_COLUMNS, _some("j.priority < b.priority") + " + " + _some("j.priority = b.priority AND j.id >= b.id"))
_BETWEEN = (
    {"user_id": "uuid", "priority": "int", "before": "uuid", "id": "uuid"},
    _some("j.priority = b.priority AND j.id >= b.before AND j.id < b.id"),
)


def _count(session: Session, question: tuple[dict[str, str], str], rows: Sequence[tuple[Any, ...]]) -> dict[Any, int]:
    if not rows:
        return {}
    columns, sql = question
    batch = Batch(session, "b", columns, rows)
    found = {key: int(count) for key, count in run(session, f"SELECT b.id, {sql} FROM {batch.sql}", far=FAR, **batch.parameters)}
    return {row[-1]: found[row[-1]] for row in rows}


class _Asked(Protocol):
    """What a position depends on of a job that is being admitted."""

    @property
    def priority(self) -> int: ...
    @property
    def run_after(self) -> Any: ...
    @property
    def depends_on(self) -> Sequence[str]: ...


class Arrivals:
    """The places of jobs that come in together: what was in their users' lanes is counted once for all of them.

    :param users: the users, whose rows are locked.
    :param arriving: user id and priority of each job.
    """

    def __init__(self, session: Session, users: Mapping[str, LockedUser], arriving: Iterable[tuple[str, int]]) -> None:
        self._ahead: dict[tuple[str, int], int] = {}
        self._arrived: defaultdict[str, Counter[int]] = defaultdict(Counter)
        kinds = sorted({(user, priority) for user, priority in arriving if user in users and users[user].ready})
        behind = _count(session, _WORSE, [(*kind, place) for place, kind in enumerate(kinds)])
        far = [(*kind, place) for place, kind in enumerate(kinds) if behind[place] >= FAR]
        better = _count(session, _NOT_WORSE, far)
        for place, kind in enumerate(kinds):
            ready = users[kind[0]].ready
            # Two ends that are both far: what is between them is in no index, and half of it is as good a guess as any.
            near = better[place] if better.get(place, FAR) < FAR else max(FAR, (ready - FAR) // 2)
            self._ahead[kind] = ready - behind[place] if behind[place] < FAR else near

    def add(self, user: LockedUser, jobs: Sequence[_Asked]) -> list[int]:
        """Place the jobs of one request behind all that came before it, the best of them first."""
        arrived = self._arrived[user.id]
        mine = Counter(job.priority for job in jobs)
        place = {}
        for priority in mine:
            earlier = sum(count for other, count in arrived.items() if other >= priority)
            better = sum(count for other, count in mine.items() if other > priority)
            place[priority] = user.held + self._ahead.get((user.id, priority), 0) + earlier + better
        places = []
        for job in jobs:
            place[job.priority] += 1
            places.append(place[job.priority])
        arrived.update(job.priority for job in jobs if job.run_after is None and not job.depends_on)
        return places


_KIND = {"user_id": "uuid", "priority": "int", "id": "int"}
_WORSE = (_KIND, _some("j.priority < b.priority"))
_NOT_WORSE = (_KIND, _some("j.priority >= b.priority"))
