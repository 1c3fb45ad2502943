"""Readers of events: one that must miss nothing, and five hundred that behave badly."""

import http.client
import json
import socket
import struct
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tests.faults.load import ADMIN_KEY
from tests.faults.row import POSTGRESQL, row
from tests.faults.trial import Trial

_PER_TENANT = 100


class Reader:
    """Reads the operator's stream of all events, and goes on after the last one when the stream breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen: set[tuple[str, str, int]] = set()
        self.lags: list[float] = []
        self._last = ""
        self._ends = threading.Event()
        self.is_open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._ends.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ends.is_set():
            with suppress(OSError, http.client.HTTPException):
                self._read()
            self._ends.wait(0.2)

    def _read(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"} | ({"Last-Event-ID": self._last} if self._last else {})
        connection.request("GET", "/api/v1/events", headers=headers)
        answer = connection.getresponse()
        fields: dict[str, str] = {}
        while not self._ends.is_set():
            line = answer.readline().decode().rstrip("\n")
            self.is_open.set()
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                self._take(fields)
                fields = {}
            else:
                break
        connection.close()

    def _take(self, fields: dict[str, str]) -> None:
        self._last = fields.get("id", self._last)
        if "data" in fields and fields.get("event") != "job.progress":
            told: dict[str, Any] = json.loads(fields["data"])
            self.seen.add((told["job"], told["to"], told["attempt"]))
            self.lags.append((datetime.now(UTC) - datetime.fromisoformat(told["at"])).total_seconds())


@row(
    "F28", "sixteen writers, and one transaction that is held for 10 s (short form 4 s) before it commits",
    "a reader of all events misses none", databases=POSTGRESQL, figures=("events", "skipped", "lag_p50", "lag_max"),
)  # fmt: skip
def hold_transaction(trial: Trial) -> None:
    """Admit a job in a transaction of our own, commit it late, and read along all the time."""
    from persistence.admission import Submission, Unit, submit
    from persistence.database import Database
    from persistence.settings import DatabaseSettings

    trial.begin(workers=2, users=16)
    (late,) = trial.make_users(1, name="late")
    reader = Reader(trial.port)
    trial.stack.callback(reader.close)
    assert reader.is_open.wait(20)
    trial.load.start(rate=60, users=[f"user{number}" for number in range(16)], ms=(2, 20))
    database = Database(DatabaseSettings(), url=trial.database_url)
    owner = str(trial.query(f"SELECT id FROM users WHERE name = '{late}'")[0][0])
    for _ in range(12 if trial.is_long else 2):
        trial.fault("transaction held")
        with database.write() as session:
            one = Submission(type="faults.work", queue="default", payload='{"ms": 1}', max_attempts=3)
            submit(session, [Unit(owner, [one])])
            time.sleep(10.0 if trial.is_long else 4.0)
        trial.heal("transaction")
    database.close()
    trial.drain()
    wanted = {(str(job), to, attempt) for job, to, attempt in trial.query("SELECT job_id, to_status, attempt FROM transitions")}
    with suppress(Exception):
        trial.wait(lambda: wanted <= reader.seen, "last event", seconds=10)
    skipped = wanted - reader.seen
    lags = sorted(reader.lags)
    trial.figure("events", len(wanted))
    trial.figure("skipped", len(skipped))
    trial.figure("lag_p50", lags[len(lags) // 2])
    trial.figure("lag_max", lags[-1])
    trial.expect(not skipped, f"the reader missed {len(skipped)} events, such as {sorted(skipped)[:3]}")


@row(
    "F31", "500 readers of events (short form 200): half reset before the first byte, half never read", "their slots come back",
    figures=("readers", "opened", "leaked"),
)  # fmt: skip
def bad_readers(trial: Trial) -> None:
    """Open as many streams as a tenant may have, again and again, behave badly, and look whether as many can be opened again."""
    trial.begin(workers=1, users=5 * 2)
    trial.load.start(rate=20, ms=(5, 20))
    count = 500 if trial.is_long else 200
    users = [user for user in trial.users if trial.users[user][0] == "acme"]
    opened = 0
    for _ in range(count // 100):
        frozen = []
        for number in range(100):
            stream = _open(trial, users[number % len(users)])
            trial.fault("bad reader")
            if number % 2:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.close()
            else:
                frozen.append(stream)
        time.sleep(1.0)
        opened += len(frozen)
        for stream in frozen:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
        trial.heal("readers gone")
    held: list[socket.socket] = []
    free = trial.wait(lambda: _free(trial, users, held), "free slot for every stream", seconds=40)
    trial.figure("readers", count)
    trial.figure("opened", opened)
    trial.figure("leaked", _PER_TENANT - free)
    for stream in held:
        stream.close()
    trial.drain()


def _open(trial: Trial, user: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", trial.port), timeout=10)
    key = trial.users[user][1]
    stream.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    return stream


def _free(trial: Trial, users: list[str], held: list[socket.socket]) -> int:
    """Open as many streams as a tenant may have; gives how many, or nothing while some of them are refused."""
    for stream in held:
        stream.close()
    held.clear()
    for number in range(_PER_TENANT):
        stream = _open(trial, users[number % len(users)])
        held.append(stream)
        status = stream.recv(64)
        if b" 200 " not in status:
            for other in held:
                other.close()
            held.clear()
            return 0
    return len(held)
