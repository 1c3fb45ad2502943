"""The chat client against a server that speaks the protocol: what it sends, what it reads, and which errors are worth a retry."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import dramatiq.asyncio
import pytest
from dramatiq.asyncio import EventLoopThread
from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception

from actors import chat as chats
from actors.chat import Chat, ChatLimitedError, ChatRefusedError, ChatReplyError, ChatUnavailableError, NoModelError, chat
from actors.settings import ChatSettings
from middleware.errors import Permanent, Retryable, Snooze
from persistence.environment import SettingsError, load
from tests.chat_server import ChatServer

KEY = "sk-9fT2-never-to-be-seen"
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "two and two"}]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """Serve an endpoint that lets in who has the key."""
    with ChatServer().running() as running:
        running.key = KEY
        yield running


@pytest.fixture
def client(server: ChatServer) -> Chat:
    """A client with the key."""
    return Chat(ChatSettings(llm_url=server.url, llm_api_key=KEY, llm_model="small"))


def test_a_completion(server: ChatServer, client: Chat) -> None:
    """The messages arrive as they were given, with the key, and the text comes back with its counts."""
    server.answers["large"] = "it is four"
    answer = client.complete(ASK, model="large", temperature=0.0, max_tokens=9)
    assert (answer.text, answer.model, answer.prompt_tokens, answer.completion_tokens) == ("it is four", "large", 3, 3)
    assert 0 < answer.seconds < 30
    (call,) = server.calls
    assert (call.messages, call.options) == (ASK, {"temperature": 0.0, "max_tokens": 9})
    assert call.headers["authorization"] == f"Bearer {KEY}"


def test_the_usual_model(server: ChatServer, client: Chat) -> None:
    """Where no model is named, the setting's is asked; with neither, nobody is."""
    assert client.complete(ASK).model == "small"
    with pytest.raises(NoModelError, match="GREENROOM_LLM_MODEL"):
        Chat(ChatSettings(llm_url=server.url)).complete(ASK)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Retryable) for status in (408, 429, 500, 503, 529)),
        *((status, Permanent) for status in (307, 400, 403, 404, 422)),
    ],
)
def test_d9_refusals(server: ChatServer, client: Chat, status: int, kind: type[Exception]) -> None:
    """D9: what may pass is worth a retry, what is wrong with the request or the key is not; a redirect is not followed."""
    server.refuse(status, message=f"no, {KEY}", Location=server.url + "/chat/completions")
    with pytest.raises(kind, match=str(status)) as refused:
        client.complete(ASK)
    assert len(server.calls) == 1
    assert KEY not in str(refused.value)
    assert client.complete(ASK).text


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("17", 17, 17),
        ("0", 1, 1),
        ("9e99", 86_400, 86_400),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3_000, 3_600),
    ],
    ids=["seconds", "none", "far too many", "a moment"],
)
def test_d9_a_limit_that_says_when_to_come_back(server: ChatServer, client: Chat, header: str, least: int, most: int) -> None:
    """D9: 429 with Retry-After, in seconds or as a date, is a snooze until then."""
    server.refuse(429, Retry_After=header)
    with pytest.raises(ChatLimitedError) as limited:
        client.complete(ASK)
    assert isinstance(limited.value, Snooze)
    assert isinstance(limited.value.until, float)
    assert least <= limited.value.until <= most


def test_a_wait_that_nobody_can_read(server: ChatServer, client: Chat) -> None:
    """A Retry-After that is neither seconds nor a date is as good as none."""
    for header in ("soon", "nan"):
        server.refuse(429, Retry_After=header)
        with pytest.raises(ChatUnavailableError, match="429"):
            client.complete(ASK)


def test_a_wrong_key(server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    """The key shows neither in the error, though the endpoint repeats it, nor in the log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChatRefusedError, match="401") as refused:
        Chat(ChatSettings(llm_url=server.url, llm_api_key="sk-other-secret", llm_model="m")).complete(ASK)
    assert "sk-other-secret" not in str(refused.value) + repr(refused.value) + caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"\xff\xfe",
     b'{"choices": [{"message": {"content": "\\ud800"}}]}', json.dumps({"choices": "x" * 5_000_000}).encode()],
)  # fmt: skip
def test_answers_that_are_none(server: ChatServer, client: Chat, body: bytes) -> None:
    """What is no chat completion, or too long to be one, is an error of its own kind."""
    server.answers["small"] = body
    with pytest.raises(ChatReplyError):
        client.complete(ASK)


def test_answers_without_counts(server: ChatServer, client: Chat) -> None:
    """Endpoints that do not count tokens are as good; what a database would not take is replaced."""
    server.answers["small"] = b'{"choices": [{"message": {"content": "a\\u0000b"}}]}'
    answer = client.complete(ASK)
    assert (answer.text, answer.model, answer.prompt_tokens) == ("a\N{REPLACEMENT CHARACTER}b", "small", None)


def test_nobody_listens() -> None:
    """An endpoint that is away is worth a retry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(ChatUnavailableError):
        Chat(ChatSettings(llm_url=address, llm_model="m")).complete(ASK)


def test_an_endpoint_that_is_too_slow(server: ChatServer, client: Chat) -> None:
    """A call ends at its time, for whatever it waits."""
    server.hold()
    with pytest.raises(ChatUnavailableError, match=r"within 0.2 seconds"):
        client.complete(ASK, timeout_seconds=0.2)


def test_an_interrupt_ends_the_wait(server: ChatServer, client: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker, whose interrupts are exceptions raised in its threads, a held call does not hold its thread."""
    loop = EventLoopThread(logging.getLogger("test"))
    loop.daemon = True
    loop.start(timeout=10)
    monkeypatch.setattr(chats, "get_event_loop_thread", lambda: loop)
    server.hold()
    ended: list[float] = []

    def work() -> None:
        with pytest.raises(Interrupt):
            client.complete(ASK)
        ended.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    server.wait_for_calls(1)
    assert thread.ident is not None
    raise_thread_exception(thread.ident, Interrupt)  # type: ignore[no-untyped-call]
    thread.join(20)
    loop.stop()
    assert dramatiq.asyncio.get_event_loop_thread() is not loop
    assert ended


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL there is no endpoint; a URL that is none, or that holds a password, is refused without showing it."""
    monkeypatch.setenv("GREENROOM_LLM_URL", "")
    assert chat() is None
    monkeypatch.setenv("GREENROOM_LLM_URL", "http://127.0.0.1:1/v1/")
    assert chat() is not None
    assert load(ChatSettings).llm_url == "http://127.0.0.1:1/v1"
    for wrong in ("127.0.0.1:1", "ftp://a/v1", "http:///v1", "http://me:hidden@a/v1", "http://a/v1?key=hidden"):
        monkeypatch.setenv("GREENROOM_LLM_URL", wrong)
        with pytest.raises(SettingsError, match=r"^GREENROOM_LLM_URL: ") as refused:
            chat()
        assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("status", [200, 400])
def test_d9_an_answer_of_brackets(server: ChatServer, client: Chat, status: int) -> None:
    """JSON that is nested deeper than anybody can read is no answer, and no accident."""
    server.answers["small"] = b"[" * 200_000
    if status != 200:
        server.refuse(status, message="[" * 200_000)
    with pytest.raises(ChatReplyError if status == 200 else ChatRefusedError):
        client.complete(ASK)


def test_d9_a_key_is_hidden_before_the_words_are_cut(server: ChatServer, client: Chat) -> None:
    """An answer that repeats the key just where its quotation ends shows no part of it."""
    server.refuse(400, message="x" * (chats._SAID_CHARACTERS - 8) + KEY)
    with pytest.raises(ChatRefusedError) as refused:
        client.complete(ASK)
    assert KEY[:6] not in str(refused.value)
