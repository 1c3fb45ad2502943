"""Log lines: one an event, JSON where nobody watches, and no secret in any of them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from middleware import logs
from middleware.settings import LogSettings

KEY = "gr_abcdef12_" + "s" * 40


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give the stream that lines go to, and put the logging of the tests back in the end."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read what was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_structlog_and_the_library_say_it_alike(stream: io.StringIO) -> None:
    """Ours and others' events become lines of the same form, with level, time and logger."""
    logs.configure(LogSettings(log_format="json"), stream=stream)
    structlog.get_logger("ours").warning("happened", job="1")
    logging.getLogger("theirs").warning("happened to %s", "them", extra={"job": "2"})
    ours, theirs = lines(stream)
    assert (ours["event"], ours["level"], ours["job"], ours["logger"]) == ("happened", "warning", "1", "ours")
    assert (theirs["event"], theirs["level"], theirs["job"], theirs["logger"]) == ("happened to them", "warning", "2", "theirs")
    assert ours["timestamp"].endswith("Z")


def test_the_level_is_kept(stream: io.StringIO) -> None:
    """Less than what was asked for is not logged, and noisy libraries are held to more."""
    logs.configure(LogSettings(log_format="json", log_level="info"), stream=stream)
    structlog.get_logger("ours").debug("no")
    logging.getLogger("dramatiq").info("no")
    logging.getLogger("other").info("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "Bearer abc.def",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "postgresql://ann:hunter2@127.0.0.1/db",
        "password=hunter2",
    ],
)
def test_secrets_inside_of_text_are_hidden(stream: io.StringIO, secret: str) -> None:
    """In messages, values, nested values and tracebacks."""
    logs.configure(LogSettings(log_format="json"), stream=stream)
    log = structlog.get_logger("ours")
    log.warning("said", text=f"before {secret} after", nested={"list": [secret]}, object=Exception(secret))
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("failed")
    said = stream.getvalue()
    assert "[hidden]" in said
    for part in ("hunter2", "s" * 40, "abc.def", "c2lnbmF0dXJl"):
        assert part not in said


@pytest.mark.parametrize("name", ["authorization", "api_key", "payload", "token", "client_secret", "args", "key", "url"])
def test_secret_fields_are_hidden(name: str) -> None:
    """By their names, whatever they hold."""
    assert logs.hide_secrets(None, "info", {"event": "x", name: {"a": 1}}) == {"event": "x", name: "[hidden]"}


def test_values_without_secrets_stay(stream: io.StringIO) -> None:
    """Numbers, flags and nothing keep their types; harmless names that contain a secret word do not."""
    event = {"event": "x", "jobs": 3, "ready": True, "none": None, "share": 0.5}
    assert logs.hide_secrets(None, "info", dict(event)) == event


def test_no_text_makes_a_second_line(stream: io.StringIO) -> None:
    """On a terminal control characters are written as escapes, in names and values; tracebacks are marked."""
    event = {"event": "a\nb", "x\ty": ["c\x1b[2J", {"k\r": "\u2028"}], "exception": "Traceback\n  line\x07"}
    said = logs.on_marked_lines(None, "info", event)
    assert said == {
        "event": "a\\nb",
        "x\\ty": ["c\\x1b[2J", {"k\\r": "\\u2028"}],
        "exception": "    | Traceback\n    |   line\\x07",
    }


def test_a_terminal_gets_words(stream: io.StringIO) -> None:
    """The console format is for people, on one line an event."""
    logs.configure(LogSettings(log_format="console"), stream=stream)
    structlog.get_logger("ours").warning("happened", text="a\nb")
    assert stream.getvalue().count("\n") == 1
    assert "happened" in stream.getvalue()
