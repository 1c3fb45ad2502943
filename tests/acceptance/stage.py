"""A stage for jobs: types of the tests' own, and a worker that does exactly what a test says, when it says so."""

from collections.abc import Mapping
from typing import Any

import httpx

from actors import REGISTRY
from actors.job import JobContext, job
from persistence import files
from persistence.attempts import Ending
from persistence.database import Database, now
from persistence.dispatch import Taken
from persistence.statements import run
from tests import factories
from tests.acceptance.sums import ADD

__all__ = ["ADD", "ECHO", "Stage", "items", "submit"]

ECHO = "tests.echo"


@job(ECHO)
def echo(context: JobContext, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the payload back."""
    del context
    return payload


class Stage:
    """A worker in the test's hand.

    :param database: the database of the API under test.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._types = [job_type.name for job_type in REGISTRY.types()]
        with database.write() as session:
            self.worker = factories.worker(session, self._types)

    def take(self, room: int = 1) -> list[Taken]:
        """Claim the next jobs."""
        with self._database.write() as session:
            return factories.take(session, self.worker, room=room, types=self._types)

    def take_one(self) -> Taken:
        """Claim the next job."""
        (taken,) = self.take()
        return taken

    def finish(self, taken: Taken, ending: Ending = Ending.COMPLETED, **words: Any) -> bool:
        """End an attempt; tells whether the outcome was written."""
        with self._database.write() as session:
            return bool(factories.finish(session, self.worker, taken, ending, **words))

    def complete(self, taken: Taken, result: str = '"done"') -> None:
        """End an attempt well."""
        assert self.finish(taken, result=result)

    def fail(self, taken: Taken, kind: str = "ValueError") -> None:
        """End an attempt and its job badly."""
        with self._database.write() as session:
            assert factories.fail(session, self.worker, taken, kind)

    def progress(self, taken: Taken, percent: float, note: str) -> None:
        """Say how far an attempt is."""
        with self._database.write() as session:
            factories.progress(session, self.worker, taken, percent, note)

    def save_file(self, job_id: str, name: str, content: bytes, media_type: str) -> None:
        """Attach a file to a job."""
        with self._database.write() as session:
            files.save(session, job_id=job_id, name=name, media_type=media_type, chunks=[content], now=now(session))

    def rows(self, table: str = "jobs") -> int:
        """Count the rows of a table."""
        with self._database.read() as session:
            count: int = run(session, f"SELECT count(*) FROM {table}").scalar_one()
            return count


def submit(client: httpx.Client, payload: Any = None, *, type: str = ECHO, **wishes: Any) -> dict[str, Any]:
    """Submit a job that has to be accepted."""
    answer = client.post("/jobs", json={"type": type, "payload": payload or {}, **wishes})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


def items(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Read a list from its first page to its last."""
    found: list[dict[str, Any]] = []
    while True:
        answer = client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        parameters["cursor"] = answer.json()["next_cursor"]
