"""The witness: notes what the guards of the core turned away, so that a row can say how often they were needed."""

from collections.abc import Callable
from typing import Any

from middleware import pulse
from middleware.claims import Claims
from middleware.pulse import Pulse
from persistence import attempts, rescue, resend, workers
from tests.faults.execution_log import note


def install() -> None:
    """Put it around the verbs whose answers are figures of the campaign."""
    _around(attempts, "finish", _refused, always=True)
    _around(pulse, "hand_back_unknown", lambda done, *_, **__: note("handed_back", jobs=len(done)))
    _around(rescue, "rescue", lambda done, *_, **__: note("rescued", jobs=done))
    _around(resend, "overdue", lambda done, *_, **__: note("resent", jobs=len(done)))
    _around(workers, "declare_dead", lambda *_, worker_id, **__: note("dead", worker=worker_id))
    _around(workers, "register", lambda *_, worker_id, **__: note("worker", worker=worker_id), always=True)
    _around(Pulse, "_start_over", lambda *_: note("lease_lost"), always=True)
    _around(Claims, "_by_message", lambda claim, *_: note("claimed" if claim else "claim_refused"), always=True)


def _refused(done: set[str], session: Any, worker_id: str, outcomes: Any, users: Any) -> None:
    del session, users
    for outcome in outcomes:
        if outcome.job_id not in done:
            note("refused", job=outcome.job_id, claim=outcome.claim_no, worker=worker_id)


def _around(place: Any, name: str, tell: Callable[..., None], *, always: bool = False) -> None:
    """Have a verb's answer told; unless always, only one that says that there was something to do."""
    verb = getattr(place, name)

    def witnessed(*args: Any, **words: Any) -> Any:
        result = verb(*args, **words)
        if result or always:
            tell(result, *args, **words)
        return result

    setattr(place, name, witnessed)
