"""The generated parts of the documentation: each function writes one of them in Markdown from what the code says."""

# ruff: noqa: INP001 - belongs to a script, not to a package

import importlib
import inspect
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

_ADR = Path(__file__).parent / "explanation" / "adr"
_FOLDERS = ("persistence", "middleware", "actors", "api")
_VERBS = ("get", "post", "put", "patch", "delete")
# The reader's modules belong to a process of their own, and migrations to Alembic.
_APART = (".migrations", ".reader", ".reading")

# States.


def states() -> str:
    """Draw the state machine."""
    from persistence.states import mermaid

    return f"```mermaid\n{mermaid()}```"


def tiers() -> str:
    """Tabulate the tiers that Greenroom comes with."""
    from persistence.users import SHIPPED_TIERS

    limits = list(next(iter(SHIPPED_TIERS.values())))
    rows = [[f"`{limit}`", *(f"{tier[limit]:,}" for tier in SHIPPED_TIERS.values())] for limit in limits]
    return table(["limit", *SHIPPED_TIERS], rows)


# Errors.


def errors() -> str:
    """Tabulate the tree of errors with the statuses that the API gives them."""
    from api.problems import STATUSES
    from persistence.errors import GreenroomError

    _import_all()
    by_code = {error.code: error for error in _descendants(GreenroomError)}
    rows = []
    for code, status in sorted(STATUSES.items(), key=lambda item: (item[1], item[0])):
        if (code in by_code and status < HTTPStatus.INTERNAL_SERVER_ERROR) or code in {"INTERNAL", "UNAVAILABLE"}:
            rows.append([str(int(status)), f"`{code}`", _sentence(by_code[code])])
    return table(["status", "code", "it says"], rows)


def own_failures() -> str:
    """Tabulate the failures that Greenroom itself writes into a job's `error`."""
    from middleware.errors import TimeLimitExceeded
    from persistence.attempts import RESULT_REFUSED
    from persistence.orphans import NO_PROCESSOR
    from persistence.rescue import WORKER_LOST

    rows = [
        [TimeLimitExceeded.__name__, "the attempt took longer than its time limit", "yes"],
        [WORKER_LOST, "the worker process died or fell silent during the last attempt", "no attempt is left"],
        [NO_PROCESSOR, "no live worker performs jobs of this type", "no"],
        [RESULT_REFUSED, "the database did not take what the attempt wanted to store", "no"],
    ]
    return table(["`error.type`", "what happened", "tried again"], [[f"`{row[0]}`", *row[1:]] for row in rows])


# Settings.

_SETTINGS = {
    "persistence": ("persistence.settings.DatabaseSettings",),
    "middleware": (
        "middleware.settings.WorkerSettings",
        "middleware.settings.WebhookSettings",
        "middleware.settings.LogSettings",
    ),
    "actors": (
        "actors.settings.ActorSettings",
        "actors.settings.ChatSettings",
        "actors.settings.ScanSettings",
        "actors.settings.GitHubSettings",
    ),
    "api": ("api.settings.ApiSettings", "api.settings.SupervisorSettings", "api.settings.JwtSettings"),
    "client": ("api.settings.ClientSettings",),
}


def settings(folder: str) -> str:
    """Tabulate the settings of a folder; one that two classes read is shown once."""
    rows: dict[str, list[str]] = {}
    for place in _SETTINGS[folder]:
        module, _, name = place.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        for field, info in kind.model_fields.items():
            variable = f"{kind.model_config['env_prefix']}{field}".upper()
            rows.setdefault(variable, [f"`{variable}`", _default(field, info.get_default()), info.description or ""])
    return table(["name", "default", "what it is for"], rows.values())


def _default(field: str, value: Any) -> str:
    if value is None or value == ():
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return f"`{','.join(f'{key}={most}' for key, most in value.items())}`"
    if isinstance(value, tuple):
        return f"`{','.join(_default(field, part).strip('`') for part in value)}`"
    mebibyte = 1024 * 1024
    if field.endswith("_bytes") and value % mebibyte == 0:
        return f"`{value}` ({value // mebibyte} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


# The command line.


def commands() -> str:
    """Describe every command as its `--help` does."""
    import click

    from api.cli import main as group

    return "\n\n".join(_commands(group, click.Context(group, info_name="greenroom")))


def _commands(command: Any, context: Any) -> Iterator[str]:
    import click

    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            inner = command.commands[name]
            yield from _commands(inner, click.Context(inner, info_name=name, parent=context))
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"### `{context.command_path}`", "", inspect.cleandoc(command.help or ""), "", f"Usage: `{usage}`"]
    records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    rows = [[f"`{names}`", text] for names, text in filter(None, records)]
    if rows:
        lines += ["", table(["option", "what it does"], rows)]
    yield "\n".join(lines)


# The API.


def routes() -> str:
    """Tabulate every address of the API, by the tags of the OpenAPI document."""
    document = _openapi()
    groups: dict[str, list[list[str]]] = {}
    for path, item in document["paths"].items():
        for verb in _VERBS:
            if verb in item:
                operation = item[verb]
                answers = ", ".join(sorted(operation["responses"]))
                said = " ".join((operation.get("description") or operation.get("summary") or "").split("\n\n")[0].split())
                row = [f"`{verb.upper()} {path}`", said, answers]
                groups.setdefault(operation.get("tags", ["other"])[0], []).append(row)
    parts = [f"### {tag.capitalize()}\n\n{table(['call', 'does', 'answers'], rows)}" for tag, rows in groups.items()]
    return "\n\n".join(parts)


def _openapi() -> dict[str, Any]:
    from api.app import create_app
    from api.settings import ApiSettings, JwtSettings
    from persistence.database import Database
    from persistence.settings import DatabaseSettings

    with tempfile.TemporaryDirectory() as folder:
        database = Database(DatabaseSettings(), url=f"sqlite:///{folder}/greenroom.db")
        document: dict[str, Any] = create_app(ApiSettings(), JwtSettings(), database=database).openapi_schema.to_schema()
        database.close()
    return document


# GraphQL.


def graphql_schema() -> str:
    """Print the schema as GraphQL writes it."""
    from api.graphql.schema import SCHEMA

    return f"```graphql\n{SCHEMA.as_str()}\n```"


def graphql_limits() -> str:
    """Tabulate the limits of a document."""
    from api.graphql import budget, endpoint, limits

    rows = {
        "bytes of the body": endpoint.DOCUMENT_BYTES,
        "tokens": limits.MOST_TOKENS,
        "fields": limits.MOST_FIELDS,
        "aliases": limits.MOST_ALIASES,
        "levels": limits.DEEPEST,
        "levels below `__schema` or `__type`": limits.DEEPEST_SCHEMA,
        "cost": limits.MOST_COST,
        "cost of what is below `__schema` or `__type`": limits.MOST_SCHEMA_COST,
        "bytes of payloads, results and configs": budget.MOST_BYTES,
    }
    return table(["what", "at most"], [[what, f"{most:,}"] for what, most in rows.items()])


# Job types, middleware, tables, decisions.


def job_types() -> str:
    """Tabulate the job types that come along."""
    from actors import REGISTRY

    rows = [
        [
            f"`{kind.name}`",
            kind.description.splitlines()[0],
            f"{kind.time_limit_seconds:g} s",
            str(kind.max_attempts),
            ", ".join(f"{wait:g}" for wait in kind.retry.backoff) + " s",
        ]
        for kind in REGISTRY.types()
    ]
    return table(["job type", "what it does", "time limit", "attempts", "waits between them"], rows)


def middleware() -> str:
    """Number the middleware in its order, each with the comment that gives the reason for its place."""
    import middleware.order

    reason: list[str] = []
    lines: list[str] = []
    source = inspect.getsource(middleware.order.middleware_list).partition("return [")[2]
    for line in map(str.strip, source.splitlines()):
        if line.startswith("#"):
            reason.append(line.removeprefix("#").strip())
        elif match := re.match(r"(\w+)", line):
            kind = {"lifecycle": "Lifecycle"}.get(match[1], match[1])
            about = _sentence(getattr(middleware.order, kind))
            lines.append(f"{len(lines) + 1}. **{kind}**: {about} *Its place:* {' '.join(reason)}")
            reason = []
    return "\n".join(lines)


def tables() -> str:
    """Describe every table by its model."""
    from sqlalchemy.dialects import postgresql

    from persistence.models import TABLES

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    parts = []
    for model in TABLES:
        columns = []
        for column in model.metadata.tables[str(model.__tablename__)].columns:
            kind = str(column.type.dialect_impl(dialect).compile(dialect=dialect)).lower()
            marks = [word for word, is_so in (("key", column.primary_key), ("may be null", column.nullable)) if is_so]
            columns.append(f"`{column.name}` {kind}" + (f" ({', '.join(marks)})" if marks else ""))
        about = "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(model.__doc__ or "").split("\n\n"))
        parts.append(f"### `{model.__tablename__}`\n\n{about}\n\n{'; '.join(columns)}.")
    return "\n\n".join(parts)


def decisions() -> str:
    """List the ADRs by number."""
    pages = sorted(_ADR.glob("[0-9]*.md"))
    return "\n".join(f"- [{page.read_text().splitlines()[0].removeprefix('# ')}]({page.name})" for page in pages)


# What they share.


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _import_all() -> None:
    """Import every module of the four folders, so that every class is there to be found."""
    for folder in _FOLDERS:
        package = importlib.import_module(folder)
        for module in pkgutil.walk_packages(package.__path__, f"{folder}."):
            if not any(word in module.name for word in _APART):
                importlib.import_module(module.name)


def _descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _descendants(inner)


def _sentence(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


PARTS: dict[str, Callable[[], str]] = {
    "states": states,
    "tiers": tiers,
    "errors": errors,
    "own_failures": own_failures,
    **{f"settings.{folder}": partial(settings, folder) for folder in _SETTINGS},
    "commands": commands,
    "routes": routes,
    "graphql.schema": graphql_schema,
    "graphql.limits": graphql_limits,
    "job_types": job_types,
    "middleware": middleware,
    "tables": tables,
    "decisions": decisions,
}
