"""Submitting from Python: `actor.send`, in a worker or in any other program that has the installation's settings."""

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from middleware.attempt import current
from middleware.lifecycle import Lifecycle
from persistence import admission, users
from persistence.database import Database, Session, as_instant, now
from persistence.ids import is_id
from persistence.settings import DatabaseSettings
from persistence.wakeup import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable


class Sender:
    """Admits jobs; in a worker through its ledger, elsewhere over a connection of its own, opened at the first use."""

    def __init__(self, lifecycle: Lifecycle, settings: DatabaseSettings) -> None:
        self._lifecycle = lifecycle
        self._settings = settings
        self._lock = threading.Lock()
        self._own: tuple[Database, Notifier] | None = None

    def send(self, submission: admission.Submission, *, user: str | None, delay_seconds: float | None) -> str:
        """Admit one job and wait for the commit.

        :param user: a user's name or id; None within an attempt for that attempt's user.
        :returns: the job's id.
        :raises ValueError: outside an attempt no user is named.
        :raises GreenroomError: why it was not admitted.
        """
        attempt = current()
        if user is None and attempt is None:
            message = "user: outside an attempt a job needs the name or the id of its user"
            raise ValueError(message)

        def admit(session: Session) -> str:
            user_id = attempt.claim.user_id if user is None and attempt is not None else _id_of(session, str(user))
            asked = submission
            if delay_seconds:
                moment = as_instant(now(session))
                asked = admission.delayed(asked, moment + timedelta(seconds=delay_seconds)) if moment else asked
            # As if it were a repetition: a ledger whose commit was not answered runs this once more.
            answer = admission.submit(session, [admission.Unit(user_id, [asked])], repeated=True)[0]
            if isinstance(answer, Exception):
                raise answer
            return answer.ids[0]

        return self._write(admit)

    def _write(self, admit: "Callable[[Session], str]") -> str:
        if self._lifecycle.is_running:
            admitted: Any = self._lifecycle.process.ledger.write(admit)
            return str(admitted)
        with self._lock:
            if self._own is None:
                database = Database(self._settings)
                self._own = (database, Notifier(database))
        database, notifier = self._own
        with database.write() as session:
            job_id = admit(session)
        notifier.notify()
        return job_id


def _id_of(session: Session, user: str) -> str:
    return user if is_id(user) else users.find(session, name=user).id
