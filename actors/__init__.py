"""What work exists; importing this is how `dramatiq actors` composes a worker, and how the API learns the job types.

Every module here that is not of the core is one of job types, and of every package the module `jobs`: to add a job type,
add a file. Other packages add theirs with the entry point group `greenroom.actors` or with `GREENROOM_ACTORS`.
"""

import dramatiq

from actors.loading import load_job_types
from persistence.environment import SettingsError, check_names
from persistence.settings import environment_names

try:
    check_names(environment_names())
    from actors.installation import INSTALLATION

    dramatiq.set_broker(INSTALLATION.broker)
    load_job_types(__path__)
except SettingsError as error:
    # The worker's composition root: a setting that cannot be used ends it with one line.
    raise SystemExit(f"greenroom: {error}") from None

REGISTRY = INSTALLATION.registry
broker = INSTALLATION.broker

__all__ = ["INSTALLATION", "REGISTRY", "broker"]
