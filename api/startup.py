"""Starting up: what `greenroom up` does before, around and after the start of its processes."""

import errno
import os
import socket
import sys
from http.client import HTTPConnection, HTTPException

import structlog

from api.processes import FAILED, HOPELESS, Child
from api.settings import ApiSettings, SupervisorSettings
from api.supervisor import CannotStartError, Service, Supervisor, preload, work
from middleware import logs
from middleware.settings import LogSettings, WebhookSettings, WorkerSettings
from persistence.environment import check_names, load
from persistence.settings import DatabaseSettings, environment_names

_ANSWER_SECONDS = 2.0
_OK = 200

log = structlog.get_logger(__name__)


def up() -> None:
    """Start everything on this machine and run until a signal says to stop.

    :raises SettingsError: a setting cannot be used.
    :raises CannotStartError: a process cannot start, or the port is taken.
    """
    warnings = check_names(environment_names())
    api, database, supervised = load(ApiSettings), load(DatabaseSettings), load(SupervisorSettings)
    for settings in (WorkerSettings, WebhookSettings):
        load(settings)  # so that what is wrong in it is said once, and not by every worker
    logs.configure(load(LogSettings))
    for warning in warnings:
        log.warning("settings.unknown", message=warning)
    api = api.model_copy(update={"port": free_port(api.host, api.port)})
    supervisor = Supervisor(shutdown_seconds=supervised.shutdown_seconds)
    preload()
    prepared = _prepare(supervisor, api, database)
    if prepared is None:
        return
    supervisor.run(
        _services(api, supervised),
        is_ready=lambda: _answers(api.host, api.port),
        announce=lambda: print(_announcement(api, database, supervised, prepared), flush=True),  # noqa: T201 - for people
    )


def free_port(host: str, port: int) -> int:
    """See to it that the port can be listened on; 0 becomes the number of one that is free.

    :raises CannotStartError: it is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listener:
            number: int = listener.getsockname()[1]
            return number
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is in use: stop what listens there, or set GREENROOM_PORT to another one"
        else:
            message = f"cannot listen on port {port} of {host}: {error.strerror or error}"
        raise CannotStartError(message) from None


def _services(api: ApiSettings, supervised: SupervisorSettings) -> list[Service]:
    threads, seconds = supervised.worker_threads, supervised.shutdown_seconds
    title = f"dramatiq actors -p 1 -t {threads}"
    return [
        Service("API", lambda: Child("greenroom api", lambda: _serve(api))),
        *(
            Service(f"worker {number}", lambda: Child(title, lambda: work(threads, seconds)))
            for number in range(1, supervised.worker_processes + 1)
        ),
    ]


def _serve(settings: ApiSettings) -> None:
    from api.server import serve

    serve(settings)


def _prepare(supervisor: Supervisor, api: ApiSettings, database: DatabaseSettings) -> str | None:
    """See whether broker and database are there, migrate and see to the admin key, in a child: connections survive no fork.

    :returns: the admin key that was made, '' when there was one; None when this process was told to stop.
    :raises CannotStartError: it did not work; the child has said why.
    """
    reader, writer = os.pipe()

    def prepare() -> None:
        import actors  # what is wrong with a module of job types is to be said once, and before all else
        from persistence import users
        from persistence.database import Database
        from persistence.migrate import migrate

        actors.INSTALLATION.check_broker()
        opened = Database.checked(database)
        migrate(opened.url)
        with opened.write() as session:
            given = api.admin_key.get_secret_value() if api.admin_key else None
            made = users.ensure_admin(session, admin_key=given)
        opened.close()
        os.write(writer, (made or "").encode())

    child = Child("greenroom migrate", prepare)
    has_ended = supervisor.run_first(child)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        made = pipe.read()
    if not has_ended:
        return None
    if child.exit_code in {FAILED, HOPELESS}:
        sys.exit(FAILED)  # one line is enough, and the child has said it
    if child.exit_code:
        raise CannotStartError(f"the preparations failed with exit code {child.exit_code}")
    return made


def _answers(host: str, port: int) -> bool:
    """Ask the API whether it and what it stands on are ready."""
    connection = HTTPConnection(_reachable(host), port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == _OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to ask, not where to listen


def _announcement(api: ApiSettings, database: DatabaseSettings, supervised: SupervisorSettings, made: str) -> str:
    host = _reachable(api.host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{api.port}"
    processes = f"{supervised.worker_processes} process{'' if supervised.worker_processes == 1 else 'es'}"
    lines = [
        "",
        "Greenroom is running.",
        f"  Books      {address}/books",
        f"  API        {address}/api/v1",
        f"  API docs   {address}/schema",
        f"  Database   {database.place}",
        f"  Workers    {processes} with {supervised.worker_threads} threads each",
    ]
    if made:
        lines.append(f"  Admin key  {made}   (shown this once: keep it)")
    lines += ["Stop it with Ctrl-C.", ""]
    return "\n".join(lines)
