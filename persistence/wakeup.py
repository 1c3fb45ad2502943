"""Wake-up: how one process tells the others on the same database that there is work, without polling it hard."""

import contextlib
import threading
from collections.abc import Callable

import psycopg

from persistence.database import Database, Session
from persistence.statements import later

_CHANNEL = "greenroom_work"
_SQLITE_POLL_SECONDS = 0.004
_RETRY_SECONDS = 1.0


def announce(session: Session) -> None:
    """Wake every listener when this transaction is committed.

    NOTIFY takes a lock at commit that lines up all who use it: for the API, which commits many submissions at once, and not
    for workers.
    """
    if session.get_bind().dialect.name == "postgresql":
        later(session, f"NOTIFY {_CHANNEL}")


class Notifier:
    """Sends wake-ups on a connection of its own, at most one at a time: those that come meanwhile become the next one.

    On SQLite nothing is sent: the listeners see the file change.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        if not database.is_sqlite:
            self._thread = threading.Thread(target=self._run, name="greenroom-notifier", daemon=True)
            self._thread.start()

    def notify(self) -> None:
        """Wake every listener on this database, soon; never waits and never fails."""
        self._wanted.set()

    def close(self) -> None:
        """Stop sending."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout=_RETRY_SECONDS)

    def _run(self) -> None:
        while not self._closed:
            # A wake-up only saves the listener's next poll, so a lost one is no reason to do more than try again.
            with contextlib.suppress(psycopg.Error, OSError), _raw(self._database) as connection:
                while True:
                    self._wanted.wait()
                    if self._closed:
                        return
                    self._wanted.clear()
                    connection.execute(f"NOTIFY {_CHANNEL}")


class Listener:
    """Calls back whenever another process has written work, as soon as the database lets it know.

    :param on_wake: called on the listener's thread; it must be quick.
    """

    def __init__(self, database: Database, on_wake: Callable[[], None]) -> None:
        self._database = database
        self._on_wake = on_wake
        self._closed = threading.Event()
        run = self._poll_sqlite if database.is_sqlite else self._listen
        self._thread = threading.Thread(target=run, name="greenroom-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._thread.join(timeout=_RETRY_SECONDS)

    def _poll_sqlite(self) -> None:
        with self._database.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None  # noqa: S101 - the connection was opened above
            cursor = raw.cursor()
            last = None
            while not self._closed.wait(_SQLITE_POLL_SECONDS):
                version = cursor.execute("PRAGMA data_version").fetchone()
                if version != last:
                    last = version
                    self._on_wake()

    def _listen(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(psycopg.Error, OSError), _raw(self._database) as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                while not self._closed.is_set():
                    for _ in connection.notifies(timeout=_RETRY_SECONDS, stop_after=1):
                        self._on_wake()
            self._closed.wait(_RETRY_SECONDS)


def _raw(database: Database) -> psycopg.Connection:
    """Open a connection of its own outside the pool, for what waits on it all its life."""
    url = database.engine.url
    return psycopg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        dbname=url.database,
        autocommit=True,
        connect_timeout=5,
        application_name="greenroom",
        **{str(key): value for key, value in url.query.items()},  # type: ignore[arg-type]
    )
