"""The client: Greenroom's HTTP API as the command line speaks it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.settings import ClientSettings

if TYPE_CHECKING:
    import httpx

FINAL = frozenset({"completed", "failed", "cancelled"})

_PREFIX = "/api/v1/"
_WAIT_SECONDS = 30
_ANSWER_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0  # so long an API that is away is waited for by somebody who waits anyway
_PAUSE_SECONDS = 1.0
_UNAVAILABLE = 503


class RefusedError(Exception):
    """The API refused a request or did not answer; the message is one line."""

    def __init__(self, message: str, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_away = is_away


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    :param id: where to go on from, when the stream breaks.
    """

    id: str
    name: str
    content: dict[str, Any]


class Client:
    """One caller of one API.

    :param settings: the address and the key.
    """

    def __init__(self, settings: ClientSettings) -> None:
        import httpx  # a quarter of a second that `greenroom --help` does not need

        self.url = settings.url.rstrip("/")
        headers = {"User-Agent": "greenroom-cli"}
        if settings.key is not None:
            headers["Authorization"] = f"Bearer {settings.key.get_secret_value()}"
        timeout = httpx.Timeout(_ANSWER_SECONDS, read=_WAIT_SECONDS + _ANSWER_SECONDS)
        self.has_key = settings.key is not None
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Make one request.

        :param path: below `/api/v1/`, or from the root when it starts with a slash.
        :param options: as `httpx.Client.request` takes them.
        :returns: the decoded body; None when there is none.
        :raises RefusedError: anything but a 2xx came back, or nothing did.
        """
        import httpx

        try:
            answer = self._http.request(method, path if path.startswith("/") else _PREFIX + path, **options)
        except httpx.HTTPError as error:
            raise _away(self.url, error) from error
        if not answer.is_success:
            raise _refused(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise RefusedError(f"{self.url} does not answer as Greenroom does") from error

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has finished, an API that restarts meanwhile included.

        :returns: the job.
        """
        patience = _Patience()
        while True:
            try:
                job: dict[str, Any] = self.call("GET", f"jobs/{job_id}", params={"wait": _WAIT_SECONDS})
            except RefusedError as error:
                patience.use(error)
                continue
            patience = _Patience()
            if job["status"] in FINAL:
                return job

    def events(self, job_id: str) -> Iterator[Event]:
        """Follow a job's events from its first to its final one, going on where a broken stream left off."""
        import httpx

        patience, last = _Patience(), ""
        has_ended = False
        while not has_ended:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                with self._http.stream("GET", f"{_PREFIX}jobs/{job_id}/events", headers=headers) as stream:
                    if not stream.is_success:
                        stream.read()
                        raise _refused(stream)
                    for event in _parsed(stream.iter_lines()):
                        patience, last = _Patience(), event.id or last
                        yield event
                has_ended = True
            except httpx.HTTPError as error:
                patience.use(_away(self.url, error))
            except RefusedError as error:
                patience.use(error)


class _Patience:
    """How much longer an API that is away is waited for."""

    def __init__(self) -> None:
        self._until: float | None = None

    def use(self, error: RefusedError) -> None:
        """Pause before the next try; what no waiting mends is raised.

        :raises RefusedError: the error itself.
        """
        now = time.monotonic()
        self._until = self._until or now + _PATIENCE_SECONDS
        if not error.is_away or now >= self._until:
            raise error
        time.sleep(_PAUSE_SECONDS)


def _parsed(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = line.partition(":")
        if name:  # a line that begins with a colon is there to keep the connection alive
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value


def _away(url: str, error: Exception) -> RefusedError:
    return RefusedError(f"{url} does not answer ({str(error) or type(error).__name__}). Is Greenroom running?", is_away=True)


def _refused(answer: "httpx.Response") -> RefusedError:
    try:
        problem = answer.json()
        message = f"{problem.get('detail') or problem['title']} ({problem.get('code', answer.status_code)})"
    except (ValueError, KeyError, AttributeError):
        message = f"the answer was {answer.status_code} {answer.reason_phrase}"
    if "retry-after" in answer.headers:
        message += f", try again in {answer.headers['retry-after']} s"
    return RefusedError(message, is_away=answer.status_code == _UNAVAILABLE)
