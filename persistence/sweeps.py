"""Leadership among sweepers: one acts at a time, for the length of one transaction, and each step is safe without it."""

from sqlmodel import Session

from persistence.statements import run

# The number of the advisory lock of whoever sweeps.
_SWEEP = 0x67726E32


def lead(session: Session) -> bool:
    """Take the lead until this transaction ends; on SQLite whoever writes is alone anyway.

    :returns: whether no other sweeper has it.
    """
    if session.get_bind().dialect.name == "sqlite":
        return True
    return bool(run(session, f"SELECT pg_try_advisory_xact_lock({_SWEEP})").scalar_one())
