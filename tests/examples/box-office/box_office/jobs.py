"""Takings: adds up the sales that the tills have exported as CSV into a folder."""

import csv
import os
from pathlib import Path
from typing import Annotated

import msgspec

from actors.job import Backoff, JobContext, Permanent, Retryable, Snooze, job

COLUMNS = ["seat", "cents"]


class Show(msgspec.Struct, forbid_unknown_fields=True):
    """Which show's sales to add up."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,60}$", description="The export's name without .csv.")]
    mail_to: str | None = None


class Takings(msgspec.Struct):
    """What a show has brought in."""

    seats: int
    cents: int
    dearest: str | None


class Mail(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to tell what."""

    to: str
    text: str


def judge(error: BaseException) -> BaseException | None:
    """Say what a library's error means for the job; None leaves it as it is."""
    if isinstance(error, UnicodeDecodeError | csv.Error):
        return Permanent(f"the export is no CSV: {error}")
    return None


@job(
    "box_office.takings",
    payload=Show,
    result=Takings,
    time_limit_seconds=60,
    retry=Backoff(1, 5, 30),
    max_attempts=4,
    concurrency=2,
    classify=judge,
)
def takings(job: JobContext, show: Show) -> Takings:
    """Add up what a show has brought in, and attach the report."""
    export = Path(os.environ.get("BOX_OFFICE_EXPORTS", "exports")) / f"{show.name}.csv"
    if export.with_suffix(".lock").exists():
        raise Snooze(5)  # the tills are still writing; waiting for them is no failed attempt
    try:
        lines = export.read_text().splitlines()
    except FileNotFoundError:
        raise Retryable(f"the tills have not exported {show.name} yet") from None
    sales = csv.reader(lines)
    if next(sales, None) != COLUMNS:
        raise Permanent(f"the export needs the columns {', '.join(COLUMNS)}")

    sold: dict[str, int] = {}
    for number, sale in enumerate(sales, start=1):
        job.check()  # ends here if the job was cancelled
        try:
            seat, cents = sale
            sold[seat] = int(cents)
        except ValueError:
            raise Permanent(f"line {number + 1} of the export is no sale") from None
        job.progress(100 * number / (len(lines) - 1), f"sale {number} of {len(lines) - 1}")

    total = sum(sold.values())
    report = "".join(f"{seat:>8} {cents:>10}\n" for seat, cents in sorted(sold.items())) + f"{'total':>8} {total:>10}\n"
    job.save_file("report.txt", report.encode(), "text/plain")
    if show.mail_to is not None:
        job.submit("box_office.mail", {"to": show.mail_to, "text": f"{show.name}: {len(sold)} seats, {total} cents"})
    job.log.info("takings added up", show=show.name, seats=len(sold))
    return Takings(len(sold), total, max(sold, key=lambda seat: sold[seat], default=None))


@job("box_office.mail", payload=Mail)
async def mail(job: JobContext, letter: Mail) -> dict[str, str]:
    """Hand a letter to the stage door; async functions work as well."""
    job.progress(100, f"for {letter.to}")
    return {"delivered": letter.text}
