"""compose.yaml brought up as an operator would, with credentials, ports and a project name of the test's own."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from persistence import keys, users
from persistence.database import Database
from persistence.models import METADATA
from persistence.settings import DatabaseSettings
from persistence.statements import run
from tests.acceptance import sums
from tests.acceptance.greenroom_up import JOBS, KEY, Operator, free_port
from tests.acceptance.pages import ROOT
from tests.acceptance.served import Served
from tests.waiting import until

FILES = (ROOT / "compose.yaml", Path(__file__).parent / "override.yaml")
START_SECONDS = 180.0
IN_CONTAINER = Path("/stage")
_PATIENCE_SECONDS = 300
# What is in these the API remembers for a moment: the operator's row and key stay what they are.
_KEPT = {
    "users": "name = :user",
    "tenants": "name = :tenant",
    "api_keys": "prefix = :prefix",
}
# What is asked for by name in compose.yaml: where nothing is said, the official images.
_IMAGES = {
    "POSTGRES_IMAGE": "GREENROOM_TEST_POSTGRES_IMAGE",
    "RABBITMQ_IMAGE": "GREENROOM_TEST_RABBITMQ_IMAGE",
    "GREENROOM_IMAGE": "GREENROOM_TEST_IMAGE",
}


def command() -> list[str] | None:
    """Find Compose: Docker's plug-in, or the command that Debian packages."""
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker", "compose"]
    found = shutil.which("docker-compose")
    return [found] if found else None


class Stack(Operator):
    """One project of Compose.

    :param folder: shared with API and workers, who see it as /stage; it gets the modules of job types.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(free_port())
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)  # workers, who are somebody else, leave their signs in it
        (folder / "stage_jobs.py").write_text(JOBS)
        shutil.copy(sums.__file__, folder)
        self.folder = folder
        self.project = f"greenroom-test-{os.getpid()}"
        self.ports = {"POSTGRES_PORT": free_port(), "RABBITMQ_PORT": free_port(), "GREENROOM_PORT": self.port}
        credentials = {name: secrets.token_hex(24) for name in ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD")}
        images = {name: os.environ[variable] for name, variable in _IMAGES.items() if os.environ.get(variable)}
        ports = {name: str(port) for name, port in self.ports.items()}
        self.environment = plain_environment() | credentials | images | ports
        self.environment |= {"GREENROOM_ADMIN_KEY": KEY, "STAGE": str(folder)}
        address = f"127.0.0.1:{self.ports['POSTGRES_PORT']}/greenroom"
        self.database_url = f"postgresql+psycopg://greenroom:{credentials['POSTGRES_PASSWORD']}@{address}"
        self.database_settings = {"GREENROOM_DATABASE_URL": self.database_url}
        self._rests = False

    def compose(self, *words: str) -> str:
        """Run Compose and give what it prints."""
        found = command()
        assert found is not None
        files = [word for path in FILES for word in ("--file", str(path))]
        return self._run(*found, *files, "--project-name", self.project, "--project-directory", str(ROOT), *words)

    def docker(self, *words: str) -> str:
        """Run Docker's own command and give what it prints."""
        return self._run("docker", *words)

    def logs(self, container: str) -> str:
        """Give all that a container has printed."""
        return self._run("sh", "-c", f"docker logs {container} 2>&1")

    def up(self) -> None:
        """Start all and wait until API and workers are there."""
        self.compose("up", "--detach", "--no-build")
        until(self.is_healthy, "healthy stack", seconds=START_SECONDS)
        until(lambda: len(self.workers()) == 2, "two workers", seconds=START_SECONDS)

    def rest(self) -> None:
        """Let the workers stop, for tests that do their work themselves."""
        if not self._rests:
            self.compose("stop", "worker")
            self._rests = True

    def work(self) -> None:
        """Have two workers."""
        if self._rests:
            self.compose("start", "worker")
            self._rests = False
        until(lambda: len(self.workers()) == 2, "two workers", seconds=START_SECONDS)

    @contextmanager
    def emptied(self) -> Iterator[Served]:
        """Give the API as tests know it, with a database in which there is what the migrations and the API's start put there."""
        with closing(Database(DatabaseSettings(), url=self.database_url)) as database, ExitStack() as clients:
            with database.write() as session:
                # As the superuser that the image makes: neither the audit trail's trigger nor foreign keys count.
                run(session, "SET LOCAL session_replication_role = replica")
                operator = {"user": users.ADMIN_USER, "tenant": users.ADMIN_TENANT, "prefix": keys.fixed_prefix(KEY)}
                for table in METADATA.tables:
                    run(session, f"DELETE FROM {table} WHERE NOT ({_KEPT.get(table, 'false')})", **operator)
                run(session, "UPDATE users SET unfinished = 0, held = 0, ready = 0, vtime = 0")
                users.ensure_admin(session, admin_key=KEY)
            yield Served(f"http://127.0.0.1:{self.port}", database, KEY, clients)

    def down(self) -> None:
        """End all and remove what it has stored."""
        self.compose("down", "--volumes", "--timeout", "10")

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Inspect a service's containers."""
        ids = self.compose("ps", "--quiet", service).split()
        return [json.loads(self.docker("inspect", id))[0] for id in ids]

    def is_healthy(self) -> bool:
        """Tell whether all that have a health check are healthy."""
        states = [self.containers(service)[0]["State"] for service in ("postgres", "rabbitmq", "api")]
        return all(state["Health"]["Status"] == "healthy" for state in states)

    def workers(self) -> dict[str, str]:
        """List the workers that are alive: from a worker's id to that of its container, as short as Docker shows it."""
        queue = self.call("GET", "/api/v1/queue").json()
        return {worker["id"]: worker["name"].partition(":")[0] for worker in queue["workers"]}

    def begin(self, name: str) -> tuple[str, Path]:
        """Submit a job that waits for a file, and wait until it has begun.

        :returns: the job's id and the file that lets it end.
        """
        job_id = self.submit("tests.until", started=str(IN_CONTAINER / f"{name}.started"), file=str(IN_CONTAINER / name))
        until((self.folder / f"{name}.started").exists, "start of the job", seconds=60)
        return job_id, self.folder / name

    def container_of(self, job_id: str) -> str:
        """Tell in which container a job is being done."""
        attempt = self.call("GET", f"/api/v1/jobs/{job_id}/attempts").json()["items"][-1]
        return self.workers()[attempt["worker"]]

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words, env=self.environment, cwd=ROOT, timeout=_PATIENCE_SECONDS, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def plain_environment() -> dict[str, str]:
    """Give the environment without whatever compose.yaml asks for."""
    asked = ("GREENROOM_", "POSTGRES_", "RABBITMQ_", "COMPOSE_FILE", "COMPOSE_PROJECT")
    return {name: value for name, value in os.environ.items() if not name.startswith(asked)}
