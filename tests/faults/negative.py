"""The negative controls: which guard is taken out, and the row that has to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """One guard.

    :param guard: its name in `controls.py`; `durability` is a setting of the server.
    :param means: what is taken out, in a few words.
    :param row: the row that is run without it.
    :param shows: the kinds of violation by which the oracle may notice; any other one is an accident of the run. `row` is the
        row's own promise.
    :param setups: where; the first of these that is there is taken.
    """

    guard: str
    means: str
    row: str
    shows: tuple[str, ...]
    setups: tuple[str, ...] = ("sqlite+sql", "postgresql+sql")


_POSTGRESQL = ("postgresql+sql", "postgresql+rabbitmq", "postgresql+redis")
_MESSAGES = ("postgresql+rabbitmq", "postgresql+redis", "sqlite+rabbitmq", "sqlite+redis")

# The lock on a user's row is no control yet, though `controls.py` can take it out: without it F23 was not seen to exceed a limit.
# The guard at the job lets one of two workers that choose alike have it, and they run into deadlocks until nothing drains.
CONTROLS = (
    Control("fence", "outcomes are written without asking for claim number and worker", "F18",
            ("fence", "illegal transition", "committed twice"), _POSTGRESQL),
    Control("lease", "no silent worker is ever declared dead", "F1", ("unfinished",)),
    Control("rescue", "what a dead worker held stays with it", "F2", ("unfinished",)),
    Control("unknown_claims", "claims whose commit was not answered are not looked for", "F11", ("unfinished",), _POSTGRESQL),
    Control("idempotency", "a request is not compared with earlier ones of its key", "F25", ("idempotency",)),
    Control("slot_count", "slots are given without counting the user's", "F23", ("over the limit",)),
    Control("trail", "the outcomes of three jobs in sixteen leave no transition", "F1", ("audit gap",)),
    Control("hand_back", "a worker that stops keeps what it has not begun", "F6", ("row",)),
    Control("durability", "the server answers commits before they are on the disk", "F10",
            ("lost", "claim begun twice"), _POSTGRESQL),  # a claim that the database forgot after its work had begun
    Control("resend", "a message that nobody claims is not sent again", "F3", ("unfinished",), _MESSAGES),
)  # fmt: skip
