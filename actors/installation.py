"""What one installation consists of on the actors' side: settings, registry and broker, and what attempts reach of them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import dramatiq
from dramatiq.broker import Broker, Consumer

from actors import brokers
from actors.registry import JobType, Registry
from actors.sending import Sender
from actors.settings import ActorSettings
from actors.sql_broker import SqlBroker
from middleware.arrivals import Arrivals
from middleware.errors import Cancelled
from middleware.hand import Hand
from middleware.lifecycle import Lifecycle
from middleware.order import middleware_list
from middleware.process import WorkerProcess
from middleware.settings import WebhookSettings, WorkerSettings
from persistence import files, progress
from persistence.admission import Submission
from persistence.database import Database, Session
from persistence.dispatch import Taken
from persistence.environment import SettingsError, load
from persistence.migrate import is_empty
from persistence.settings import DatabaseSettings

T = TypeVar("T")


class Installation:
    """The parts that the API and the workers share, made once a process without opening a connection."""

    def __init__(
        self,
        settings: WorkerSettings,
        actor_settings: ActorSettings,
        database: DatabaseSettings,
        webhooks: WebhookSettings | None = None,
    ) -> None:
        self.settings = settings
        self._webhooks = webhooks
        self.registry = Registry()
        self._database_settings = database
        self._broker_url = actor_settings.broker_url.get_secret_value() if actor_settings.broker_url else None
        middleware = middleware_list(self._build, lambda kind: self.registry.get(kind).retry)
        self.lifecycle = next(part for part in middleware if isinstance(part, Lifecycle))
        self.broker = self._make_broker()
        for part in middleware:
            self.broker.add_middleware(part)
        self._sender = Sender(self.lifecycle, database)

    # What an attempt reaches.

    def submission(self, kind: str, payload: Any, *, max_attempts: int | None = None, **options: Any) -> Submission:
        """Check a follow-up as a caller's job would be checked.

        :raises UnknownJobTypeError: there is no such job type.
        :raises ValidationError: the payload is not valid.
        """
        job_type = self.registry.get(kind)
        return Submission(
            type=kind,
            queue=job_type.queue,
            payload=job_type.validate(payload),
            max_attempts=max_attempts or job_type.max_attempts,
            **options,
        )

    def read_file(self, claim: Taken, name: str, of: str) -> bytes:
        """Read an attachment of a job of the same user.

        :raises NotFoundError: there is none.
        """
        with self.lifecycle.process.database.read() as session:
            file = files.find(session, job_id=of, name=name, user_id=claim.user_id)
            content, number = bytearray(), 0
            while (part := files.chunk(session, file_id=file.id, number=number)) is not None:
                content += part
                number += 1
        return bytes(content)

    def read(self, look: Callable[[Session], T]) -> T:
        """Look into the database in a transaction of its own."""
        with self.lifecycle.process.database.read() as session:
            return look(session)

    def write(self, claim: Taken, write: Callable[[Session], T]) -> T:
        """Commit a write of an attempt before its outcome, through the ledger and behind the same fence.

        :raises Cancelled: the claim is lost.
        """
        ledger = self.lifecycle.process.ledger

        def fenced(session: Session) -> tuple[T] | None:
            stands = progress.stands(session, job_id=claim.id, claim_no=claim.claim_no, worker_id=ledger.worker_id)
            return (write(session),) if stands else None

        written: tuple[T] | None = ledger.write(fenced)
        if written is None:
            raise Cancelled
        return written[0]

    def send(self, job_type: JobType, payload: Any, user: str | None, delay_seconds: float | None) -> str:
        """Submit a job from Python, through admission.

        :raises ValueError: outside an attempt no user is named.
        :raises GreenroomError: why it was not admitted.
        """
        submission = self.submission(job_type.name, payload)
        return self._sender.send(submission, user=user, delay_seconds=delay_seconds)

    # The worker's parts.

    def check_broker(self) -> None:
        """See whether the broker can be used; the API does not need it, the workers do.

        :raises SettingsError: it cannot.
        """
        brokers.check(self.broker)

    def _build(self, threads: int, queues: Collection[str] | None) -> WorkerProcess:
        self.check_broker()
        database = Database.checked(self._database_settings)
        if is_empty(database):  # whether its tables are the newest is not asked: old and new workers may work side by side
            raise SettingsError(f"{self._database_settings.decided_by}: no tables there yet: run `greenroom migrate` first")
        types = {kind: queue for kind, queue in self.registry.queues().items() if not queues or queue in queues}
        limits = {**self.registry.concurrency(), **self.settings.type_concurrency}
        return WorkerProcess(
            self.settings.model_copy(update={"type_concurrency": limits}),
            database=database,
            threads=threads,
            types=types,
            publish=None if isinstance(self.broker, SqlBroker) else self._publish,
            webhooks=self._webhooks,
        )

    def _publish(self, jobs: Sequence[Taken]) -> None:
        brokers.publish(self.broker, [_hint(job) for job in jobs])

    def _make_broker(self) -> Broker:
        if self._broker_url is None:
            return SqlBroker(self._hand, self._wake)
        broker = brokers.make_broker(self._broker_url, self._hand)
        consume = broker.consume

        def arriving(queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
            return Arrivals(consume(queue_name, prefetch, timeout), queue_name, broker, self.lifecycle)

        broker.consume = arriving  # type: ignore[method-assign]  # whatever kind it is, its messages arrive alike
        return broker

    def _hand(self) -> Hand:
        return self.lifecycle.process.hand

    def _wake(self) -> None:
        self.lifecycle.process.ledger.wake()


def _hint(job: Taken) -> "dramatiq.Message[object]":
    """Make the message of a job."""
    options = {"broker_priority": job.priority}
    return dramatiq.Message(queue_name=job.queue, actor_name=job.type, args=(job.id, job.dispatch_no), kwargs={}, options=options)


INSTALLATION = Installation(load(WorkerSettings), load(ActorSettings), load(DatabaseSettings), load(WebhookSettings))
