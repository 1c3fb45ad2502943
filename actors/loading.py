"""Finding job types: the modules here, entry points of installed packages, and the modules that a setting names."""

import importlib
import pkgutil
from collections.abc import Iterable
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
        "context",
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
        point.load()
    for name in load(ActorSettings).actors:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            message = f"GREENROOM_ACTORS: there is no module {error.name!r}"
            raise SettingsError(message) from error
