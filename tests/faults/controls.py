"""Negative controls: one guard of the core is taken out, and the oracle has to notice; a check that cannot fail proves nothing.

FAULTS_WITHOUT names the guard; only the processes of the campaign load this. A guard that is not where it was looked for ends
the process, and the first time that it is missed goes into the execution log: the campaign takes no control for shown whose
guard was never missed.
"""

import faulthandler
import os
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

# All that runs statements has to be there when they are rewritten.
from middleware import pulse, sweeper  # noqa: F401
from middleware.hand import Hand
from middleware.pulse import Pulse
from persistence import admission, attempts, lanes, ledger, rescue, resend, transitions, workers  # noqa: F401
from tests.faults.execution_log import STALE, WITHOUT, note
from tests.rewriting import rewrite

VARIABLE = "FAULTS_WITHOUT"
_EXIT_STALE = 70
_WINDOW_SECONDS = 0.02

_missed: set[tuple[int, str, str]] = set()


def install() -> None:
    """Take out what the environment names."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        if name not in ELSEWHERE:
            CONTROLS[name](name)


@dataclass(frozen=True, slots=True)
class Change:
    """A part of some statements that is taken out of them, or put into them.

    :param of: words that all of these statements have, and no other one.
    :param pattern: what is changed in each of them, as a regular expression.
    """

    of: str
    pattern: str
    replacement: str = ""


def _miss(guard: str, part: str) -> None:
    """Note, once in each process, that a guard would have been asked just now."""
    key = (os.getpid(), guard, part)
    if key not in _missed:
        _missed.add(key)
        note(WITHOUT, guard=guard, part=part)


def _is_stale(guard: str, words: str) -> NoReturn:
    """End the process: a control that takes nothing out would only show that the product works."""
    note(STALE, guard=guard, words=words)
    print(f"the negative control {guard!r} is stale: {words}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(_EXIT_STALE)


def _rewritten(*changes: Change) -> Callable[[str], None]:
    """Change the words of statements on their way to the database."""

    def install(guard: str) -> None:
        def change(sql: str) -> str:
            for one in changes:
                if one.of not in sql:
                    continue
                sql, count = re.subn(one.pattern, one.replacement, sql)
                if not count:
                    _is_stale(guard, f"there is no {one.pattern!r} in {sql!r}")
                _miss(guard, one.of)
            return sql

        rewrite(change)

    return install


def _put(guard: str, place: Any, name: str, value: Any) -> None:
    """Put something else in the place of a function or method that has to be there."""
    if not callable(getattr(place, name, None)):
        _is_stale(guard, f"there is no {place.__name__}.{name}")

    def stand_in(*arguments: Any, **words: Any) -> Any:
        _miss(guard, name)
        return value(*arguments, **words)

    setattr(place, name, stand_in)


def _constant(place: Any, name: str, value: Any) -> Callable[[str], None]:
    return lambda guard: _put(guard, place, name, lambda *_, **__: value)


_OUTCOME = "UPDATE jobs SET status = b.status, slot = false, seq"
_without_fence = _rewritten(
    # Without this its verb would stumble over rows of a claim that it has not asked for.
    Change(_OUTCOME, _OUTCOME, "UPDATE jobs SET claim_no = b.claim_no, status = b.status, slot = false, seq"),
    Change(
        "UPDATE jobs SET claim_no = b.claim_no, status = b.status",
        r"AND jobs\.claim_no = b\.claim_no AND jobs\.worker_id = :worker\s+"
        r"AND jobs\.status \|\| '' = 'processing' AND CAST\(jobs\.slot AS int\) = 1",
    ),
)


def _without_watchdog(guard: str) -> None:
    """Let a frozen process go on when it wakes, so that its late writes are tried: the fence has to stand alone."""
    _put(guard, faulthandler, "dump_traceback_later", lambda *_, **__: None)


def _without_beat_check(guard: str) -> None:
    """Let a process that has lost its lease write on until it has tried what it has in hand."""
    beat = Pulse._beat
    if not isinstance(getattr(Hand, "is_full", None), property):
        _is_stale(guard, "a hand does not say whether it is full")

    def patient(self: Pulse, session: Any) -> Any:
        claims = beat(self, session)
        return {} if claims is None and self._hand.is_full else claims

    _put(guard, Pulse, "_beat", patient)


_NEXT_USERS = "FROM users u JOIN tiers t ON t.name = u.tier\n        WHERE u.ready > 0"
_without_slot_count = _rewritten(
    Change(_NEXT_USERS, r"AND u\.held < t\.max_running\s", " "),
    Change(_NEXT_USERS, r"t\.max_running - u\.held", "t.max_running"),
)


def _without_slot_lock(guard: str) -> None:
    _rewritten(Change(_NEXT_USERS, r"FOR NO KEY UPDATE OF u(?: SKIP LOCKED)?"))(guard)
    look_at = lanes.look_at

    def late(*arguments: Any) -> Any:
        time.sleep(random.uniform(0, _WINDOW_SECONDS))  # noqa: S311 - not to be secret
        return look_at(*arguments)

    # Two that choose the same jobs get into each other's way: the guard at the job lets one of them have it. The lock is
    # for those who count before another one's commit, and choose after it.
    _put(guard, lanes, "look_at", late)


def _without_idempotency(guard: str) -> None:
    _put(guard, admission, "_known_keys", lambda *_: {})
    _put(guard, admission, "_known_ids", lambda *_: set())
    insert = admission._insert

    def anonymous(session: Any, fresh: Any, now: Any) -> None:
        insert(session, [(replace(unit, idempotency_key=None), admitted) for unit, admitted in fresh], now)

    # The index that allows each key once is a second guard.
    _put(guard, admission, "_insert", anonymous)


# Three of the sixteen digits with which an id may end.
_without_trail = _rewritten(
    Change(
        "trail AS (INSERT INTO transitions",
        r"AS timestamptz\) FROM moved\)",
        "AS timestamptz) FROM moved WHERE ascii(right(CAST(step_job_id AS text), 1)) % 7 <> 0)",
    ),
    Change("CROSS JOIN jobs j ON j.id = b.id WHERE b.id", "WHERE b.id", "WHERE unicode(substr(b.id, -1)) % 7 <> 0 AND b.id"),
)


CONTROLS: dict[str, Callable[[str], None]] = {
    "fence": _without_fence,
    "watchdog": _without_watchdog,
    "beat_check": _without_beat_check,
    "slot_count": _without_slot_count,
    "slot_lock": _without_slot_lock,
    "idempotency": _without_idempotency,
    "trail": _without_trail,
    "lease": _constant(workers, "declare_dead", value=False),
    "rescue": _constant(rescue, "rescue", value=0),
    "resend": _constant(resend, "overdue", value=[]),
    "unknown_claims": _constant(pulse, "hand_back_unknown", value=set()),
    "hand_back": _constant(Hand, "drop_waiting", value=[]),
}
# The row sees to these: they are settings of a server.
ELSEWHERE = frozenset({"durability"})
