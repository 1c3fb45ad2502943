"""Logs: one line an event on standard error, JSON unless somebody watches, and no secret in any of them."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import IO, Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from middleware.settings import LogSettings

_HIDDEN = "[hidden]"
# Fields that hold secrets or what belongs to tenants, by the words of their names.
_SECRET_FIELD = re.compile(r"(?i)authorization|cookie|password|passwd|secret|token|api_?key|dsn|payload|^(key|url|args|kwargs)$")
# What must not come out inside of a text: our keys, JSON web tokens, whatever stands after Bearer, passwords in URLs, and
# the values of a statement that failed, as SQLAlchemy and PostgreSQL tell them.
_SECRET_TEXT = re.compile(
    r"gr_[a-z0-9]{6,32}_[A-Za-z0-9_-]+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?i:bearer)\s+\S+"
    r"|(?<=://)[^\s/@:]*:[^\s@]*(?=@)"
    r"|(?i:password)\s*=\s*\S+"
    r"|\[parameters: .*"
    r"|(?<=DETAIL: ).*"
)
# Everything that can end a line or steer a terminal, for whoever shows or splits the log.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_NOISY = {
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "dramatiq": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "pika": logging.CRITICAL,
    "uvicorn": logging.WARNING,
}


def configure(settings: LogSettings, *, stream: IO[str] | None = None) -> None:
    """Send everything that this process logs, through structlog or the standard library, one way.

    :param stream: where the lines go; standard error when not given.
    """
    stream = stream or sys.stderr
    as_json = settings.log_format == "json" or (settings.log_format is None and not stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:-2],
            structlog.stdlib.add_logger_name,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    rendering: list[Processor] = [structlog.processors.JSONRenderer()]  # escapes what could end a line
    if not as_json:
        rendering = [on_marked_lines, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared[:-2]],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *shared[-2:],
                *rendering,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(capture=True)


def hide_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Take out what is secret: fields by their names, and keys, tokens and passwords inside of any text."""
    del logger, method
    return {name: _HIDDEN if _SECRET_FIELD.search(name) else _hidden(value) for name, value in event.items()}


def on_marked_lines(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Write control characters as escapes, so that no text makes a second line or moves a terminal's cursor.

    Only a traceback keeps its lines, each behind a mark that no other line begins with.
    """
    del logger, method
    trace = event.pop("exception", None)
    event = {_escaped(name): _one_line(value) for name, value in event.items()}
    if trace is not None:
        event["exception"] = "\n".join(f"    | {_escaped(line)}" for line in str(trace).splitlines())
    return event


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_HIDDEN, value)
    if isinstance(value, Mapping):
        return {name: _HIDDEN if _SECRET_FIELD.search(str(name)) else _hidden(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _SECRET_TEXT.sub(_HIDDEN, repr(value))


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, dict):
        return {_escaped(str(name)): _one_line(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_one_line(inner) for inner in value]
    return value


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
