"""Finding job types: the modules here, entry points of installed packages, and the modules that a setting names."""

import importlib
import pkgutil
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from actors.settings import ActorSettings, ChatSettings
from persistence.environment import SettingsError, load

ENTRY_POINTS = "greenroom.actors"

# What in this folder is not a module of job types.
CORE = frozenset(
    {
        "answers",
        "brokers",
        "chat",
        "command",
        "context",
        "guard",
        "hints",
        "installation",
        "job",
        "loading",
        "message_broker",
        "payloads",
        "performer",
        "rabbitmq_broker",
        "rabbitmq_link",
        "redis_broker",
        "registry",
        "sending",
        "settings",
        "sql_broker",
    }
)


def load_job_types(folder: Iterable[str]) -> None:
    """Import every module of job types, which enters them into the registry.

    :param folder: the path of this package.
    :raises SettingsError: a module that `GREENROOM_ACTORS` names cannot be imported, or a setting of the models is wrong.
    """
    load(ChatSettings)  # what cannot be used ends the start, and not the first job that wants to ask
    for module in pkgutil.iter_modules(folder):
        if module.name not in CORE:
            importlib.import_module(f"actors.{module.name}.jobs" if module.ispkg else f"actors.{module.name}")
    for point in entry_points(group=ENTRY_POINTS):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        with _told(f"the entry point {point.name!r} of {package}", point.module):
            point.load()
    for name in load(ActorSettings).actors:
        with _told("GREENROOM_ACTORS", name):
            importlib.import_module(name)


@contextmanager
def _told(source: str, name: str) -> Iterator[None]:
    """Turn whatever a module of somebody else's raises while it is imported into one line that says whose it is and where.

    :param source: who named it, a package or a setting.
    :raises SettingsError: it is not there, cannot be imported, or wants a name for a job type that is taken.
    """
    try:
        yield
    except Exception as error:
        # The edge of the process: without all of its job types it does not start, and a traceback would hide whose it was.
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError):
            why = f"there is no module {error.name!r}"
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise SettingsError(f"{source}: {why}") from error  # the module itself or its package is not there
        place = _place(error, name)
        raise SettingsError(f"{source}: {name} cannot be imported: {' '.join(why.split())}{place}") from error


def _place(error: Exception, name: str) -> str:
    """Say in which line of a module's package something was raised, the innermost one; '' when in none."""
    if isinstance(error, SyntaxError):  # its own words name file and line
        return ""
    package = name.partition(".")[0]
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] == package
    ]
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""
