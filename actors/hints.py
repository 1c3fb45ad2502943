"""Hints: what a message may say, a job's id and dispatch number in Dramatiq's envelope, and what becomes of all else."""

from typing import Any

import msgspec
from dramatiq import Encoder

# No actor has this name: Dramatiq moves its message to the dead letters of the broker and goes on.
GARBAGE = "greenroom.not-a-hint"


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    queue_name: str
    actor_name: str
    args: tuple[str, int]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    message_id: str
    message_timestamp: int


class HintEncoder(Encoder):
    """Writes JSON and reads nothing but hints, whatever bytes come.

    An encoder that raised would end the consumer that read the body; one that unpickled would run what it holds.
    """

    def encode(self, data: dict[str, Any]) -> bytes:
        """Turn an envelope into bytes."""
        return msgspec.json.encode(data)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Turn bytes into an envelope; into that of an actor that does not exist, where they are no hint."""
        try:
            return msgspec.structs.asdict(msgspec.json.decode(data, type=_Envelope))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {
                "queue_name": "",
                "actor_name": GARBAGE,
                "args": (),
                "kwargs": {},
                "options": {},
                "message_id": GARBAGE,
                "message_timestamp": 0,
            }
