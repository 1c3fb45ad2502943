"""Progress: how far an attempt says it is, written behind the same fence as its outcome."""

from collections.abc import Sequence

from sqlmodel import Session

from persistence.batches import Batch, word
from persistence.statements import run


def write(session: Session, *, worker_id: str, steps: Sequence[tuple[str, int, float, str | None]]) -> None:
    """Write the progress of attempts that are under way.

    :param steps: job id, claim number, percent (0 to 100) and a short note of each.
    """
    if not steps:
        return
    batch = Batch(session, "b", {"id": "uuid", "claim_no": "int", "percent": "float8", "note": "text"}, steps)
    run(
        session,
        f"""UPDATE jobs SET progress_percent = b.percent, progress_note = b.note FROM {batch.sql}
        WHERE jobs.id = b.id AND jobs.claim_no = b.claim_no AND jobs.worker_id = :worker
        AND {word("jobs.status")} = 'processing'""",
        worker=worker_id,
        **batch.parameters,
    )


def stands(session: Session, *, job_id: str, claim_no: int, worker_id: str | None) -> bool:
    """Tell whether a claim stands, and keep it so until the transaction ends.

    What an attempt writes before its outcome comes after this, or a worker that has lost its claim would write, too.
    """
    lock = "" if session.get_bind().dialect.name == "sqlite" else "FOR NO KEY UPDATE"
    row = run(
        session,
        f"SELECT 1 FROM jobs WHERE id = :id AND claim_no = :claim AND worker_id = :worker AND status = 'processing' {lock}",
        id=job_id,
        claim=claim_no,
        worker=worker_id,
    ).first()
    return row is not None
