"""A client of any OpenAI-compatible chat endpoint, whose errors say by their kind whether another try may succeed.

The endpoint is `GREENROOM_LLM_URL` with `/chat/completions` behind it. Nothing of this machine's environment (proxies, netrc)
has a part in a call, no redirect is followed, and neither an error nor a log line shows the key.
"""

import asyncio
import math
import ssl
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
import msgspec
from dramatiq.asyncio import get_event_loop_thread

from actors.settings import ChatSettings
from middleware.errors import Permanent, Retryable, Snooze
from middleware.text import storable
from persistence.environment import load

TIMEOUT_SECONDS = 120.0

_CONNECT_SECONDS = 10.0
_REPLY_BYTES = 4 * 1024 * 1024
_SAID_CHARACTERS = 300
_LEAST_WAIT_SECONDS = 1.0
_MOST_WAIT_SECONDS = 24 * 3600.0
_TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_KEY_TROUBLE = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class ChatUnavailableError(Retryable):
    """The endpoint could not be reached, was too slow, or said that it cannot answer at the moment."""


class ChatReplyError(Retryable):
    """The endpoint answered with something that is no chat completion; another try may bring one."""


class ChatRefusedError(Permanent):
    """The endpoint will not take this request, however often it is sent: the key, the model's name or the request is wrong."""


class NoModelError(ChatRefusedError):
    """Neither the request nor GREENROOM_LLM_MODEL names a model."""


class ChatLimitedError(Snooze):
    """The endpoint's rate limit is reached, and it said when to come back; waiting for that uses up no attempt."""


class Completion(NamedTuple):
    """What a model answered.

    `model`: as the endpoint names it. `prompt_tokens`, `completion_tokens`: None where the endpoint does not count. `seconds`:
    from sending the request to having the whole answer.
    """

    text: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Usage | None = None


class Chat:
    """An endpoint.

    :param settings: its URL, key and usual model.
    :raises ValueError: the settings name no URL.
    """

    def __init__(self, settings: ChatSettings) -> None:
        if settings.llm_url is None:
            raise ValueError("GREENROOM_LLM_URL is not set")
        self._address = f"{settings.llm_url}/chat/completions"
        self._model = settings.llm_model
        self._key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None

    def complete(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Completion:
        """Let a model answer. In a worker, an attempt that is cancelled or out of time leaves this call at once.

        :param messages: each with `role` (`system`, `user` or `assistant`) and `content`.
        :param model: which one; None for `GREENROOM_LLM_MODEL`.
        :param max_tokens: the most that the answer may have; None leaves it to the endpoint.
        :param timeout_seconds: for the whole call.
        :raises ChatUnavailableError: no answer for now: the network, a timeout, 408, 429 or 5xx.
        :raises ChatLimitedError: 429 with the time to come back, in `until`.
        :raises ChatRefusedError: any other status.
        :raises NoModelError: no model is named.
        :raises ChatReplyError: the answer is no chat completion, or larger than 4 MiB.
        """
        model = model or self._model
        if model is None:
            raise NoModelError("no model is named, and GREENROOM_LLM_MODEL is not set")
        asked: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages]}
        asked |= {"temperature": temperature} if temperature is not None else {}
        asked |= {"max_tokens": max_tokens} if max_tokens is not None else {}
        started = time.monotonic()
        call = self._call(msgspec.json.encode(asked), timeout_seconds)
        # The workers' loop lets an interrupt end the wait for an answer; elsewhere, as in a test, there is none.
        loop = get_event_loop_thread()
        body = asyncio.run(call) if loop is None else loop.run_coroutine(call)
        seconds = time.monotonic() - started
        try:
            reply = msgspec.json.decode(body, type=_Reply)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ChatReplyError(f"the chat endpoint's answer is no chat completion: {error}") from None
        if not reply.choices:
            raise ChatReplyError("the chat endpoint's answer has no choices")
        used = reply.usage or _Usage()
        text = storable(reply.choices[0].message.content)
        return Completion(text, storable(reply.model or model), used.prompt_tokens, used.completion_tokens, seconds)

    async def _call(self, body: bytes, timeout_seconds: float) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
        verify = _certificates() if self._address.startswith("https:") else False
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                httpx.AsyncClient(timeout=timeout, verify=verify, trust_env=False, follow_redirects=False) as client,
                client.stream("POST", self._address, content=body, headers=headers) as response,
            ):
                content = await _read(response)
        except TimeoutError:
            raise ChatUnavailableError(f"the chat endpoint did not answer within {timeout_seconds:g} seconds") from None
        except httpx.TransportError as error:
            raise ChatUnavailableError(f"the chat endpoint could not be asked: {self._hidden(_reason(error))}") from None
        if response.status_code != HTTPStatus.OK:
            raise self._refusal(response, content)
        return content

    def _refusal(self, response: httpx.Response, content: bytes) -> Exception:
        status = response.status_code
        message = f"the chat endpoint answered {status}"
        if status not in _KEY_TROUBLE:  # those answers like to repeat a part of the key
            message += self._said(content)
        if status == HTTPStatus.TOO_MANY_REQUESTS and (wait := _wait_seconds(response.headers)) is not None:
            return ChatLimitedError(wait)
        if status in _TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ChatUnavailableError(message)
        return ChatRefusedError(message)

    def _said(self, content: bytes) -> str:
        """Quote the endpoint's own words, in OpenAI's form of an error, if it found any."""
        try:
            words = msgspec.json.decode(content)["error"]
            words = words["message"] if isinstance(words, dict) else words
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, IndexError):
            return ""
        # Hidden before it is cut: the cut might go through the key.
        return f": {storable(self._hidden(words)[:_SAID_CHARACTERS])}" if isinstance(words, str) and words else ""

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def chat() -> Chat | None:
    """Return the endpoint that the settings name; None if they name none.

    :raises SettingsError: a value cannot be used.
    """
    settings = load(ChatSettings)
    return None if settings.llm_url is None else Chat(settings)


async def _read(response: httpx.Response) -> bytes:
    content = b""
    # Raw: we asked for no compression, and what comes all the same is not unpacked to whatever size.
    async for part in response.aiter_raw():
        content += part
        if len(content) > _REPLY_BYTES:
            raise ChatReplyError(f"the chat endpoint's answer is longer than {_REPLY_BYTES} bytes")
    return content


def _reason(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _wait_seconds(headers: httpx.Headers) -> float | None:
    """Read Retry-After, which has seconds or a date of the endpoint's own clock, within sensible bounds."""
    wanted = headers.get("Retry-After")
    if wanted is None:
        return None
    try:
        seconds = float(wanted)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(wanted) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
        except (ValueError, TypeError):  # neither, or one of them without its time zone
            return None
    return None if math.isnan(seconds) else min(max(seconds, _LEAST_WAIT_SECONDS), _MOST_WAIT_SECONDS)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Read the certificates once: it takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)
