"""Negative controls: one guard of the core is taken out, and the oracle has to notice; a check that cannot fail proves nothing.

FAULTS_WITHOUT names the guard; only the processes of the campaign load this.
"""

import faulthandler
import os
import re
from collections.abc import Callable
from typing import Any

from middleware import pulse
from middleware.hand import Hand
from middleware.pulse import Pulse
from persistence import admission, attempts, batches, dispatch, rescue, resend, transitions, workers

VARIABLE = "FAULTS_WITHOUT"


def install() -> None:
    """Take out what the environment names."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        CONTROLS[name]()


def _rewritten(place: Any, *changes: tuple[str, str]) -> None:
    """Change the words of a module's statements on their way to the database."""

    def run(session: Any, statement: str, **parameters: Any) -> Any:
        for pattern, replacement in changes:
            statement = re.sub(pattern, replacement, statement)
        named = set(re.findall(r":(\w+)", statement))
        return batches.run(session, statement, **{name: value for name, value in parameters.items() if name in named})

    place.run = run


def _without_fence() -> None:
    # Only the outcome's statement joins a batch to jobs and asks for the worker.
    _rewritten(
        attempts,
        (
            r"AND jobs\.claim_no = b\.claim_no AND jobs\.worker_id = :worker\s+AND [^\n]*= 'processing' AND [^\n]* = (?:1|true)",
            "AND true",
        ),
        # Without this its verb would stumble over rows of a claim that it has not asked for.
        (
            r"UPDATE jobs SET status = b\.status, slot = false, seq",
            "UPDATE jobs SET claim_no = b.claim_no, status = b.status, slot = false, seq",
        ),
    )
    # Nor does the process notice by itself that its lease is gone.
    Pulse._start_over = lambda _pulse: None  # type: ignore[method-assign]
    Pulse._hand_back_unknown = lambda _pulse, _claims: None  # type: ignore[method-assign]


def _without_watchdog() -> None:
    """Let a frozen process go on when it wakes, so that its late writes are tried: the fence has to stand alone."""
    faulthandler.dump_traceback_later = lambda *_, **__: None  # type: ignore[assignment]


def _without_beat_check() -> None:
    """Let a process that has lost its lease write on until it has tried what it has in hand."""
    beat = Pulse._beat

    def patient(self: Pulse, session: Any) -> Any:
        claims = beat(self, session)
        return {} if claims is None and self._hand.is_full else claims

    Pulse._beat = patient  # type: ignore[method-assign]


def _without_slot_lock() -> None:
    _rewritten(
        dispatch,
        (r"AND u\.held < t\.max_running", ""),
        (r"t\.max_running - u\.held", "t.max_running"),
        (r"FOR NO KEY UPDATE OF u SKIP LOCKED", ""),
    )


def _without_idempotency() -> None:
    admission._known_keys = lambda _session, _units: {}
    admission._known_ids = lambda _session, _units: set()
    insert = admission._insert

    def anonymous(session: Any, fresh: Any, now: Any) -> None:
        from dataclasses import replace

        insert(session, [(replace(unit, idempotency_key=None), admitted) for unit, admitted in fresh], now)

    admission._insert = anonymous


def _without_trail() -> None:
    record = transitions.record_outcomes

    def forgetful(session: Any, steps: Any, *, now: Any) -> None:
        record(session, [step for step in steps if int(step[0][-2:], 16) % 7], now=now)

    transitions.record_outcomes = forgetful


def _constant(place: Any, name: str, value: Any) -> Callable[[], None]:
    def put() -> None:
        setattr(place, name, lambda *_, **__: value)

    return put


CONTROLS: dict[str, Callable[[], None]] = {
    "fence": _without_fence,
    "watchdog": _without_watchdog,
    "beat_check": _without_beat_check,
    "slot_lock": _without_slot_lock,
    "idempotency": _without_idempotency,
    "trail": _without_trail,
    "lease": _constant(workers, "declare_dead", value=False),
    "rescue": _constant(rescue, "rescue", value=0),
    "resend": _constant(resend, "overdue", value=[]),
    "unknown_claims": _constant(pulse, "hand_back_unknown", value=set()),
    "hand_back": _constant(Hand, "drop_waiting", value=[]),
}
