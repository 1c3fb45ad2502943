"""Ingest: pull requests into the database, from a mirror or from a host, in batches after each of which a scan can go on."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import rmtree

from actors.job import JobContext, Snooze
from actors.scans import github, places
from actors.scans.errors import RepositoryRefusedError, RepositoryUnreachableError
from actors.scans.git import Merge, Mirror, Refs
from actors.scans.github import Host
from actors.scans.places import PlaceRefusedError
from actors.settings import GitHubSettings, ScanSettings
from middleware.text import storable
from persistence import scan_pulls
from persistence.scan_pulls import Pull
from persistence.scans import Begun

_BATCH = 50
_BATCH_BYTES = 512 * 1024  # it goes through the ledger, where others stand in line behind it
_HOST_BATCH = 10
_MOST_TITLE_CHARACTERS = 300
_LONG_SECONDS = 600.0
_STALE_SECONDS = 86_400.0
_PREFIX = "greenroom-scan-"


class Ingest:
    """What an attempt at ingesting knows and writes.

    :param begun: where earlier attempts have left off.
    :param most: how many pull requests it may read.

    `known` counts the pull requests that are written down, `stored` counts the pull requests that this attempt has stored.
    """

    def __init__(self, job: JobContext, scan_id: str, begun: Begun, *, most: int) -> None:
        self.job = job
        self.cursor = begun.cursor
        self.known = begun.pulls
        self.most = most
        self._scan_id = scan_id
        self._before = begun.ingested
        self._began, self._began_after = time.monotonic(), begun.cursor
        self.stored = 0

    def enlist(self, pulls: Sequence[tuple[int, str, str | None]], *, truncated: bool = False) -> None:
        """Write down which pull requests there are: number, title and commit at the tip."""
        listed = [Pull(number, _title(number, title), head) for number, title, head in pulls]
        scan_id = self._scan_id
        self.known = self.job.checkpoint(
            lambda session: scan_pulls.enlist(session, scan_id=scan_id, pulls=listed, truncated=truncated)
        )

    def unread(self, limit: int) -> list[Pull]:
        """List the next pull requests to read."""
        scan_id, cursor = self._scan_id, self.cursor
        return self.job.read(lambda session: scan_pulls.unread(session, scan_id=scan_id, after=cursor, limit=limit))

    def store(self, pulls: Sequence[Pull]) -> None:
        """Store what was read, and let the next attempt begin after it."""
        scan_id, some = self._scan_id, list(pulls)
        self.job.checkpoint(lambda session: scan_pulls.ingest(session, scan_id=scan_id, pulls=some))
        self.cursor = some[-1].number
        self.stored += len(some)
        read = self._before + self.stored
        self.job.progress(99 * read / max(self.known, read), f"{read} of {self.known} pull requests read")

    def rest(self) -> None:
        """Let others come first once this has taken long, without using up an attempt.

        :raises Snooze: it has, and got on.
        """
        if self.cursor > self._began_after and time.monotonic() - self._began > _LONG_SECONDS:
            raise Snooze(0.0)


def from_mirror(work: Ingest, url: str, settings: ScanSettings) -> None:
    """Read a repository's pull requests from its mirror.

    :raises RepositoryRefusedError: it may not be read from there.
    """
    try:
        place = places.locate(url, settings)
    except PlaceRefusedError as refusal:
        raise RepositoryRefusedError(f"The repository {refusal}.") from None
    if place is None:
        raise RepositoryUnreachableError("The name of the repository's host is not known.")
    with _folder() as folder:
        mirror = Mirror(place, folder, most_bytes=settings.bytes, check=work.job.check)
        refs = mirror.refs()
        newest = sorted(refs.pulls)[-work.most :]
        if work.cursor == 0:
            listed = [(number, "", refs.pulls[number]) for number in newest]
            work.enlist(listed, truncated=len(newest) < len(refs.pulls))
        merges: dict[int, Merge] | None = None
        while batch := work.unread(_BATCH):
            there = [pull.number for pull in batch if pull.number in refs.pulls]
            mirror.fetch(refs.default, there)
            if merges is None:
                merges = mirror.merges()
            read = partial(_read, mirror, refs, merges, mirror.subjects(there))
            _store(work, batch, read, _BATCH)


def _read(mirror: Mirror, refs: Refs, merges: dict[int, Merge], subjects: dict[int, str], pull: Pull) -> Pull:
    merge = merges.get(pull.number)
    title = merge.title if merge is not None and merge.title else subjects.get(pull.number, "")
    head = refs.pulls.get(pull.number)  # None: it has been taken away since it was listed
    diff = b"" if head is None else mirror.diff(pull.number, head, merge)
    return Pull(pull.number, _title(pull.number, title), diff=diff)


def from_host(work: Ingest, owner: str, name: str, settings: GitHubSettings) -> None:
    """Read a repository's pull requests from the configured host."""
    with closing(Host(settings, owner, name, check=work.job.check)) as host:
        if work.cursor == 0:
            _enlist(work, host)
        while batch := work.unread(_BATCH):
            _store(work, batch, lambda pull: Pull(pull.number, pull.title, diff=host.diff(pull.number)), _HOST_BATCH)


def _enlist(work: Ingest, host: Host) -> None:
    # New ones push the older ones on to later pages: going on with the last page that was written down leaves nothing out.
    page = work.known // github.PAGE + 1
    while True:
        listed = host.page(page)
        room = work.most - (page - 1) * github.PAGE
        is_full = len(listed.pulls) >= room
        work.enlist(listed.pulls[: max(room, 0)], truncated=is_full and not (listed.is_last and len(listed.pulls) == room))
        if listed.is_last or is_full:
            return
        page += 1


def _store(work: Ingest, batch: Sequence[Pull], read: Callable[[Pull], Pull], most: int) -> None:
    """Read pull requests, and store them before they become too many or too large."""
    found: list[Pull] = []
    try:
        for pull in batch:
            found.append(read(pull))
            if len(found) >= most or sum(len(one.diff or b"") for one in found) >= _BATCH_BYTES:
                work.store(found)
                found = []
    except (Snooze, RepositoryUnreachableError):
        if found:  # what a host has answered so far need not be asked for again
            work.store(found)
        raise
    if found:
        work.store(found)
    work.rest()


def _title(number: int, text: str) -> str:
    return storable(" ".join(text.split())[:_MOST_TITLE_CHARACTERS]) or f"Pull request {number}"


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for one attempt's copy; what a killed worker has left of its own goes after a day."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        made_at = folder.stat().st_mtime
        for other in folder.parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if made_at - other.stat().st_mtime > _STALE_SECONDS and not other.is_symlink():
                    rmtree(other)
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
