"""GitHub: pull requests from a REST endpoint that speaks GitHub's protocol, waiting when its rate limit says so."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from actors.scans.errors import RepositoryUnreachableError, RepositoryUnreadableError
from actors.scans.git import MOST_DIFF_BYTES
from actors.settings import GitHubSettings
from middleware.errors import Snooze

if TYPE_CHECKING:
    import httpx

PAGE = 100

_MOST_PAGE_BYTES = 32 * 1024 * 1024
_SECONDS = 30.0
_LEAST_WAIT_SECONDS = 1.0
_MOST_WAIT_SECONDS = 24 * 3600.0
_MARGIN_SECONDS = 1.0
_JSON, _DIFF = "application/vnd.github+json", "application/vnd.github.diff"
_NEXT = re.compile(r'rel="?next"?')
# What a host answers for a diff that it has not, or that is too large for it.
_NO_DIFF = {HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY}


class _Head(msgspec.Struct):
    sha: str | None = None


class _Pull(msgspec.Struct):
    number: int
    title: str | None = None
    head: _Head | None = None


class Listed(NamedTuple):
    """One page of pull requests, as number, title and commit at the tip.

    :param is_last: whether no page comes after it.
    """

    pulls: list[tuple[int, str, str | None]]
    is_last: bool


_PULLS = msgspec.json.Decoder(list[_Pull])


class Host:
    """A GitHub-compatible host.

    :param check: called before each request and while an answer is read; what it raises ends it.
    """

    def __init__(self, settings: GitHubSettings, owner: str, name: str, *, check: Callable[[], None]) -> None:
        import httpx

        self._check = check
        self._path = f"{settings.url.rstrip('/')}/repos/{owner}/{name}/pulls"
        headers = {"User-Agent": "Greenroom", "X-GitHub-Api-Version": "2022-11-28"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        # It follows nothing, for the token goes along, and reads neither proxies nor .netrc.
        self._client = httpx.Client(headers=headers, timeout=_SECONDS, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, number: int) -> Listed:
        """Read one page of pull requests, the newest first.

        :param number: of the page, counted from 1.
        :raises RepositoryUnreadableError: there is no such repository, or it may not be read.
        :raises RepositoryUnreachableError: the host could not be asked.
        :raises Snooze: its rate limit is reached.
        """
        query = f"?state=all&sort=created&direction=desc&per_page={PAGE}&page={number}"
        response, body = self._get(self._path + query, _JSON, _MOST_PAGE_BYTES)
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response)
        try:
            pulls = _PULLS.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RepositoryUnreachableError("The host did not answer with a list of pull requests.") from None
        links = response.headers.get("link")
        is_last = not _NEXT.search(links) if links else len(pulls) < PAGE
        found = [(pull.number, pull.title or "", pull.head.sha if pull.head else None) for pull in pulls if pull.number > 0]
        return Listed(found, is_last or not pulls)

    def diff(self, number: int) -> bytes:
        """Read what a pull request changes, and no more of it than `MOST_DIFF_BYTES`; nothing where the host has none.

        :raises RepositoryUnreadableError: it may not be read.
        :raises RepositoryUnreachableError: the host could not be asked.
        :raises Snooze: its rate limit is reached.
        """
        response, body = self._get(f"{self._path}/{number}", _DIFF, MOST_DIFF_BYTES)
        if response.status_code in _NO_DIFF:
            return b""
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response)
        return body

    def _get(self, url: str, kind: str, most_bytes: int) -> "tuple[httpx.Response, bytes]":
        import httpx

        self._check()
        body = bytearray()
        try:
            with self._client.stream("GET", url, headers={"Accept": kind}) as response:
                for piece in response.iter_bytes():
                    self._check()
                    body += piece
                    if len(body) > most_bytes:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RepositoryUnreachableError(f"The host could not be asked: {type(error).__name__}.") from None
        return response, bytes(body[:most_bytes])


def _refusal(response: "httpx.Response") -> Exception:
    status, headers = response.status_code, response.headers
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        seconds = _wait_seconds(headers)
        if seconds is not None:
            return Snooze(min(max(seconds, _LEAST_WAIT_SECONDS), _MOST_WAIT_SECONDS))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}:
        return RepositoryUnreachableError(f"The host answered {status}.")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return RepositoryUnreadableError("The host knows no such repository, or does not show it.")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RepositoryUnreadableError("The repository has moved: track it under its new name.")
    return RepositoryUnreadableError(f"The host refuses to show the repository: it answered {status}.")


def _wait_seconds(headers: "httpx.Headers") -> float | None:
    """Find out how long a rate limit lasts; None when the answer is about something else."""
    after = headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    if headers.get("x-ratelimit-remaining") != "0":
        return None
    reset = headers.get("x-ratelimit-reset", "")
    now = _moment(headers.get("date"))
    if not reset.isdigit() or now is None:
        return 60.0
    # By the host's own clock on both sides: ours may be another one.
    return (datetime.fromtimestamp(min(int(reset), 2**33), UTC) - now).total_seconds() + _MARGIN_SECONDS


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
