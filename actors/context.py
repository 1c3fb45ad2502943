"""What a job's function is given to work with: progress, follow-ups, files and the log."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, TypeVar

import structlog

from middleware.attempt import Attempt
from middleware.text import storable
from persistence import files
from persistence.admission import Submission
from persistence.database import Database, Session, now
from persistence.dispatch import Taken
from persistence.errors import NotFoundError
from persistence.ids import new_id
from persistence.jobs import DEFAULT_PRIORITY

_MOST_NOTE_CHARACTERS = 500
_MOST_NAME_CHARACTERS = 200

T = TypeVar("T")


class Surroundings(Protocol):
    """What an attempt can reach outside itself."""

    def submission(self, kind: str, payload: Any, **options: Any) -> Submission:
        """Check a follow-up as a caller's job would be checked."""

    def read_file(self, claim: Taken, name: str, of: str) -> bytes:
        """Read an attachment of a job of the same user."""

    def read(self, look: Callable[[Session], T]) -> T:
        """Look into the database."""

    def write(self, claim: Taken, write: Callable[[Session], T]) -> T:
        """Commit a write, if the claim stands."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A follow-up as a test sees it."""

    type: str
    payload: Any


class JobContext:
    """One attempt, as the function that makes it sees it.

    :param attempt: the attempt.
    :param surroundings: the registry and the files around it.
    """

    def __init__(self, attempt: Attempt, surroundings: Surroundings) -> None:
        self._attempt = attempt
        self._surroundings = surroundings

    @cached_property
    def log(self) -> Any:
        """The log of this job."""
        return structlog.get_logger("job").bind(job=self._attempt.claim.id, type=self._attempt.claim.type)

    @property
    def id(self) -> str:
        """The job's id."""
        return self._attempt.claim.id

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self._attempt.claim.attempt

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt is the job's."""
        return self._attempt.claim.attempt >= self._attempt.claim.max_attempts

    @property
    def user(self) -> str:
        """The id of the user whose job it is."""
        return self._attempt.claim.user_id

    @property
    def subject(self) -> str | None:
        """The id of the thing that the job is about, such as a book."""
        return self._attempt.claim.subject

    def progress(self, percent: float, note: str | None = None) -> None:
        """Say how far the work is; cheap enough for a loop, for only the latest word is stored, a few times a second.

        :param percent: 0 to 100.
        :param note: a few words for people.
        """
        self._attempt.progress = (
            min(100.0, max(0.0, float(percent))),
            None if note is None else storable(note[:_MOST_NOTE_CHARACTERS]),
        )

    @property
    def seconds_left(self) -> float | None:
        """How long this attempt may still take; None where nothing limits it, as in a test."""
        deadline = self._attempt.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def check(self) -> None:
        """Stop here if the job was cancelled.

        :raises Cancelled: it was.
        """
        self._attempt.check()

    def submit(
        self,
        kind: str,
        payload: Any,
        *,
        priority: int = DEFAULT_PRIORITY,
        run_after: datetime | None = None,
        max_attempts: int | None = None,
        tags: tuple[str, ...] = (),
        depends_on: tuple[str, ...] = (),
    ) -> str:
        """Submit a follow-up of the same user: it begins its life with this job's completion, exactly once, or never.

        :returns: the id that it will have.
        :raises UnknownJobTypeError: there is no such job type.
        :raises ValidationError: the payload is not valid.
        """
        submission = self._surroundings.submission(
            kind,
            payload,
            priority=priority,
            run_after=run_after,
            max_attempts=max_attempts,
            tags=tags,
            depends_on=depends_on,
            subject=self.subject,
        )
        self._attempt.follow_ups.append(submission)
        return submission.id

    def save_file(self, name: str, content: bytes, media_type: str = "application/octet-stream") -> None:
        """Attach a file to the job, in place of an earlier one of that name; visible when this attempt commits.

        :param name: up to 200 characters, without a slash.
        :raises ValueError: the name cannot be used.
        """
        if not name or len(name) > _MOST_NAME_CHARACTERS or "/" in name or "\x00" in name or name in {".", ".."}:
            message = f"not a file's name: {name!r}"
            raise ValueError(message)
        job_id, whole = self.id, bytes(content)
        self.commit_with(lambda session: _save(session, job_id, name, media_type, whole))

    def read_file(self, name: str, of: str | None = None) -> bytes:
        """Read an attachment of this job, or of another one of the same user.

        :param of: the other job's id.
        :raises NotFoundError: there is no such attachment.
        """
        other = self.id if of is None else str(of)
        return self._surroundings.read_file(self._attempt.claim, name, other)

    def read(self, look: Callable[[Session], T]) -> T:
        """Look into the database; what is found is as of now, and what a verb takes as `user_id` is to be `job.user`.

        :param look: given a session; a reading verb of persistence, as a rule.
        """
        return self._surroundings.read(look)

    def commit_with(self, write: Callable[[Session], None]) -> None:
        """Add a write to the transaction that completes this job: it happens together with the completion or not at all.

        :param write: given the transaction's session; a verb of persistence, as a rule.
        """
        self._attempt.effects.append(write)

    def checkpoint(self, write: Callable[[Session], T]) -> T:
        """Commit a write now, for the next attempt to go on from; it is made only while this attempt holds its claim.

        :param write: given the transaction's session; it may be run twice, if the database does not answer the first time.
        :returns: what the write returned.
        :raises Cancelled: the claim is lost, so that nothing of this attempt will count.
        """
        self.check()
        return self._surroundings.write(self._attempt.claim, write)

    @classmethod
    def for_test(
        cls,
        *,
        attempt: int = 1,
        files: dict[str, bytes] | None = None,
        subject: str | None = None,
        user: str | None = None,
        database: Database | None = None,
    ) -> "TestContext":
        """Make a context for a direct call of the function in a test.

        :param files: attachments that the job already has.
        :param user: the id of the user whose job it is; None for nobody's that there is.
        :param database: what `read` looks into.
        """
        return TestContext(attempt=attempt, files=files or {}, subject=subject, user=user, database=database)


class TestContext(JobContext):
    """A context without a worker: it remembers what the function did with it."""

    __test__ = False  # not a test case, whatever its name says

    def __init__(
        self, *, attempt: int, files: dict[str, bytes], subject: str | None, user: str | None, database: Database | None
    ) -> None:
        claim = Taken(
            new_id(), user or new_id(), "test", "test", DEFAULT_PRIORITY, "{}", attempt, attempt, attempt, attempt, 0, subject
        )
        super().__init__(Attempt(claim), _Bench(files, database))
        self.files = files
        self.steps: list[tuple[float, str | None]] = []
        self.sent: list[Sent] = []

    def progress(self, percent: float, note: str | None = None) -> None:
        """Remember the step."""
        self.steps.append((percent, note))

    def submit(self, kind: str, payload: Any, **options: Any) -> str:
        """Remember the follow-up."""
        del options
        self.sent.append(Sent(kind, payload))
        return new_id()

    def save_file(self, name: str, content: bytes, media_type: str = "application/octet-stream") -> None:
        """Keep the file; it can be read back at once."""
        super().save_file(name, content, media_type)
        self.files[name] = bytes(content)

    def cancel(self) -> None:
        """Let the next `check` raise."""
        self._attempt.cancelled = True


class _Bench:
    """The surroundings of a test."""

    def __init__(self, files: dict[str, bytes], database: Database | None) -> None:
        self._files = files
        self._database = database

    def submission(self, kind: str, payload: Any, **options: Any) -> Submission:
        raise NotImplementedError

    def read_file(self, claim: Taken, name: str, of: str) -> bytes:
        del claim, of
        try:
            return self._files[name]
        except KeyError:
            raise NotFoundError from None

    def read(self, look: Callable[[Session], T]) -> T:
        with self._given().read() as session:
            return look(session)

    def write(self, claim: Taken, write: Callable[[Session], T]) -> T:
        del claim
        with self._given().write() as session:
            return write(session)

    def _given(self) -> Database:
        if self._database is None:
            raise LookupError("read and checkpoint need for_test(database=…)")
        return self._database


def _save(session: Session, job_id: str, name: str, media_type: str, content: bytes) -> None:
    size = files.CHUNK_BYTES
    chunks = (content[start : start + size] for start in range(0, len(content), size))
    files.save(session, job_id=job_id, name=name, media_type=media_type, chunks=chunks, now=now(session))
