"""A house with one worker in this process: an installation on a test's database, its job types, and what they did."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from dramatiq import Worker

import actors.installation
import actors.job
from actors.installation import Installation
from actors.settings import ActorSettings
from middleware.process import WorkerProcess
from middleware.settings import WorkerSettings
from persistence import admission, cancellation
from persistence.batches import run
from persistence.database import Database
from persistence.settings import DatabaseSettings
from tests import factories, services, waiting

# A worker that ends itself would end the tests with it: its lease is long, and what is fatal is noted here.
SETTINGS: dict[str, Any] = {
    "lease_seconds": 60.0,
    "heartbeat_seconds": 0.4,
    "sweep_seconds": 0.3,
    "resend_seconds": 30.0,
    "type_concurrency": {},
}


class House:
    """An installation of the test's own.

    :param url: its database.
    :param broker: `sql` for the SQL broker, `stub` for one with messages in memory, or the URL of another one.
    """

    def __init__(self, url: str, *, broker: str = "sql", **settings: Any) -> None:
        self.database = Database(DatabaseSettings(), url=url)
        self.fatal: list[BaseException] = []
        broker_url = {"sql": None, "stub": "stub://"}.get(broker, broker)
        self.installation = Installation(
            WorkerSettings(**SETTINGS | settings),
            ActorSettings(broker_url=broker_url),
            DatabaseSettings(database_url=url),
        )
        self.worker: Worker | None = None
        self._shutting = threading.Lock()
        with self.database.write() as session:
            self.user = factories.user(session)

    @contextmanager
    def declaring(self) -> Iterator[None]:
        """Let `@job` declare its types in this house."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(actors.job, "INSTALLATION", self.installation)
            yield

    def open(self, threads: int = 2) -> None:
        """Start the worker."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(actors.installation, "WorkerProcess", partial(WorkerProcess, on_fatal=self.fatal.append))
            self.worker = Worker(self.installation.broker, worker_threads=threads, worker_timeout=100)
            self.worker.start()

    def shut(self) -> None:
        """Stop the worker in good order."""
        with self._shutting:
            worker, self.worker = self.worker, None
            if worker is not None:
                worker.stop(timeout=30_000)
                chain = self.installation.broker.middleware
                chain.remove(next(part for part in chain if getattr(part, "worker", None) is worker))

    def close(self) -> None:
        """Stop all that runs."""
        self.shut()
        self.database.close()

    @property
    def process(self) -> WorkerProcess:
        """The worker's parts."""
        return self.installation.lifecycle.process

    # What callers do.

    def submit(self, actor: Any, payload: Any = None, **words: Any) -> str:
        """Submit one job of an actor's type."""
        return self.submit_text(actor.job_type.name, actor.job_type.validate(payload or {}), **words)

    def submit_text(self, kind: str, payload: str, **words: Any) -> str:
        """Submit one job with its payload as it will be stored."""
        job_type = self.installation.registry.get(kind)
        wishes: dict[str, Any] = {"max_attempts": job_type.max_attempts} | words
        submission = admission.Submission(type=kind, queue=job_type.queue, payload=payload, **wishes)
        with self.database.write() as session:
            (job,) = factories.submit(session, self.user, submission)
        return job

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        with self.database.write() as session:
            cancellation.cancel(session, job_id=job, user_id=None)

    # What is there to be seen.

    def row(self, job: str) -> Any:
        """Read a job's row."""
        with self.database.read() as session:
            return factories.fetch(session, "jobs", job)

    def status(self, job: str) -> str:
        """Read how a job stands."""
        return str(self.row(job).status)

    def queued(self, job: str) -> Any:
        """Give a job's row if it is queued, be its message under way or not."""
        row = self.row(job)
        return row if row.status == "queued" else None

    def until(self, job: str, status: str, **columns: Any) -> Any:
        """Wait until a job stands as it should, has given back its slot unless it is processing, and give its row."""
        columns = {"slot": status == "processing"} | columns

        def look() -> Any:
            row = self.row(job)
            here = row.status == status and all(getattr(row, name) == value for name, value in columns.items())
            return row if here else None

        return waiting.until(look, f"job that is {status} with {columns}, but {self.row(job)}")

    def history(self, job: str) -> list[tuple[str, int, str | None]]:
        """Read a job's transitions: status, attempt and reason."""
        with self.database.read() as session:
            rows = run(session, "SELECT to_status, attempt, reason FROM transitions WHERE job_id = :id ORDER BY seq", id=job)
            return [tuple(row) for row in rows]

    def select(self, sql: str, **words: Any) -> list[Any]:
        """Read rows."""
        with self.database.read() as session:
            return list(run(session, sql, **words).all())

    def execute(self, sql: str, **words: Any) -> None:
        """Change rows behind the core's back."""
        with self.database.write() as session:
            run(session, sql, **words)


class Gate:
    """Where a job's function waits until the test says so; it can be interrupted there."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def wait(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until the gate is opened, in steps, because an interrupt reaches a thread only between two of them."""
        self.entered.set()
        while not self.opened.wait(0.01):
            check()


@contextmanager
def new_database(kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Iterator[str]:
    """Make a database for all tests of a module: `sqlite` or `postgres`."""
    if kind == "sqlite":
        path = folders.mktemp("house") / "greenroom.db"
        path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        yield f"sqlite:///{path}"
        return
    template = services.database_name(request.getfixturevalue("postgres_template"))
    with services.new_database(request.getfixturevalue("postgres_url"), template=template) as url:
        yield url
