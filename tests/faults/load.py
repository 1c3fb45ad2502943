"""The load: callers of the API that write down every 2xx answer they get, and repeat with their key what got none."""

import http.client
import json
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

ADMIN_KEY = "an-operator-chose-7Zq9XwL2mB4v-this"
TENANTS = ("acme", "globex")
_ANSWER_SECONDS = 12.0
_AGAIN_SECONDS = 0.1
_SUCCESS = range(200, 300)
_REFUSED = range(400, 500)


class Caller:
    """One connection to the API, made anew when it breaks.

    :param key: the API key that it shows.
    """

    def __init__(self, port: int, key: str = ADMIN_KEY) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Make a request below /api/v1.

        :raises OSError, http.client.HTTPException: there is no answer, and nobody knows what became of the request.
        """
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            content = None if body is None else json.dumps(body)
            self._connection.request(method, f"/api/v1{path}", content, self._headers | headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return answer.status, json.loads(text) if text else None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """Users who submit jobs at a steady rate, each from a thread of its own, until they are told to stop.

    :param log: where the 2xx answers are written, one JSON object a line.
    :param users: the key of each user's name.
    """

    def __init__(self, port: int, log: Path, users: dict[str, tuple[str, str]], *, seed: int) -> None:
        self._port = port
        self._log = log.open("a", buffering=1)
        self._users = users
        self._seed = seed
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._gives_up = threading.Event()
        self._threads: list[threading.Thread] = []
        self._numbers = 0
        self.answers = 0
        self.errors: dict[str, int] = {}
        self.unresolved = 0
        self.seconds: list[float] = []  # of what was accepted
        self.longest = 0.0  # whatever came of it

    def start(self, *, rate: float, users: list[str] | None = None, keyed: float = 0.5, **payload: Any) -> None:
        """Begin to submit.

        :param rate: jobs a second, of all users together.
        :param keyed: the share of requests that have an idempotency key and are repeated until they are answered.
        :param payload: what each job is asked to do; `ms` may be a pair, between which it is drawn.
        """
        chosen = users or list(self._users)
        for number, user in enumerate(chosen):
            draw = random.Random(f"{self._seed} {user} {number}")  # noqa: S311 - to be repeated, not to be secret
            arguments = (user, draw, len(chosen) / rate, keyed, payload)
            thread = threading.Thread(target=self._submit_all, args=arguments, name=f"load-{user}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, seconds: float = 20.0) -> None:
        """Begin nothing new, and wait until what was begun is answered."""
        self._ends.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._gives_up.set()
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS + 1)
        self._threads.clear()
        self._ends.clear()
        self._gives_up.clear()

    def submit(
        self, user: str, payload: dict[str, Any], *, type: str = "faults.work", key: str | None = None, **wishes: Any
    ) -> str:
        """Submit one job and have it accepted."""
        caller = Caller(self._port, self._users[user][1])
        token = self._token(user)
        id = self._one(caller, user, {"type": type, "payload": {**payload, "token": token}, **wishes}, token, key)
        caller.close()
        assert id is not None
        return id

    def submit_many(self, user: str, count: int, *, type: str = "faults.work", **payload: Any) -> None:
        """Submit jobs in bulk; refused or not answered is an error here."""
        caller = Caller(self._port, self._users[user][1])
        for begin in range(0, count, 1000):
            tokens = [self._token(user) for _ in range(min(1000, count - begin))]
            jobs = [{"type": type, "payload": {**payload, "token": token}} for token in tokens]
            status, answer = caller.call("POST", "/jobs/bulk", {"jobs": jobs})
            assert status in _SUCCESS, answer
            for job, token in zip(answer["jobs"], tokens, strict=True):
                self._note(user, job["id"], token, None)
        caller.close()

    def _submit_all(self, user: str, draw: random.Random, pause: float, keyed: float, payload: dict[str, Any]) -> None:
        caller = Caller(self._port, self._users[user][1])
        due = time.monotonic() + draw.random() * pause
        while not self._ends.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic() - 1.0)  # what was missed in an outage is not made up for in a burst
            token = self._token(user)
            wish = dict(payload)
            if isinstance(wish.get("ms"), (tuple, list)):
                wish["ms"] = draw.randint(*wish["ms"])
            key = f"key-{token}" if draw.random() < keyed else None
            self._one(caller, user, {"type": "faults.work", "payload": {**wish, "token": token}}, token, key)
        caller.close()

    def _one(self, caller: Caller, user: str, body: dict[str, Any], token: str, key: str | None) -> str | None:
        headers = {} if key is None else {"Idempotency-Key": key}
        while True:
            began = time.monotonic()
            try:
                status, answer = caller.call("POST", "/jobs", body, **headers)
            except (OSError, http.client.HTTPException) as error:
                self._count(type(error).__name__)
                status, answer = 0, None
            self.longest = max(self.longest, time.monotonic() - began)
            if status in _SUCCESS:
                self.seconds.append(time.monotonic() - began)
                self._note(user, answer["id"], token, key)
                return str(answer["id"])
            if status:
                self._count(str(status))
            if key is None or status in _REFUSED:
                return None  # without a key to repeat it would be another job
            if self._gives_up.wait(_AGAIN_SECONDS):
                with self._lock:
                    self.unresolved += 1
                return None

    def _token(self, user: str) -> str:
        with self._lock:
            self._numbers += 1
            return f"{user}-{self._numbers}"

    def _note(self, user: str, id: str, token: str, key: str | None) -> None:
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        line = {"id": id, "user": user, "tenant": self._users[user][0], "token": token, "key": key, "t": now}
        with self._lock:
            self.answers += 1
            self._log.write(json.dumps(line) + "\n")

    def _count(self, error: str) -> None:
        with self._lock:
            self.errors[error] = self.errors.get(error, 0) + 1
