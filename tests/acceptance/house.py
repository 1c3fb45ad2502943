"""A fresh copy of the repository in an empty folder, in which a newcomer's commands are run as the documentation gives them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import threading
import venv
from pathlib import Path
from typing import Any

from tests.acceptance.greenroom_up import free_port
from tests.acceptance.pages import ROOT

# What a clone does not have.
_NOT_CLONED = shutil.ignore_patterns(".git", ".venv", "var", "build", "dist", ".*_cache", "__pycache__", ".hypothesis")
_SCRIPTS = {"greenroom": "from api.cli import main", "dramatiq": "from dramatiq.cli import main"}
_SHOWN = "Stop it with Ctrl-C."
_PATIENCE_SECONDS = 120
MAKE_A_KEY = "export GREENROOM_KEY=$(.venv/bin/greenroom keys create --user ada --tenant acme --tier pro)"
GREET = '.venv/bin/greenroom submit greetings.say \'{"name": "Ada"}\' --wait'
_DOCUMENTED_ADDRESS = "127.0.0.1:8000"


class House:
    """The copy, with an environment as `make setup` makes it, but of the libraries that the tests run with.

    :param folder: where to put it; must not exist.
    :param settings: GREENROOM_ settings for all commands, without the prefix.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        shutil.copytree(ROOT, folder, ignore=_NOT_CLONED)
        self._furnish()
        # A make around the tests must not speak to the one in here, and a second start is quicker from bytecode.
        left_out = ("GREENROOM_", "MAKE", "MFLAGS", "PYTHONDONTWRITEBYTECODE")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self.environment |= {"GREENROOM_PORT": str(self.port), "GREENROOM_URL": f"http://127.0.0.1:{self.port}"}
        self.environment |= {f"GREENROOM_{name}": value for name, value in settings.items()}
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, command: str, *, until: str = _SHOWN) -> str:
        """Run a command in a terminal of its own and leave it running.

        :param until: what it prints when it is ready.
        :returns: what it has printed until then.
        """
        process = subprocess.Popen(
            ["bash", "-c", self._here(command)],
            cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._processes.append(process)
        printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if until in line:
                break
        else:
            raise AssertionError(f"{command} ended:\n{printed}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        if key := re.search(r"gr_\w+_[\w-]+", printed):
            self.environment["ADMIN_KEY"] = key[0]
        return printed

    def stop(self) -> None:
        """Press Ctrl-C in every terminal and wait until nothing runs any more."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGINT)
        while self._processes:
            process = self._processes.pop()
            process.wait(_PATIENCE_SECONDS)
            if process.stdout is not None:
                process.stdout.close()

    def run(self, *commands: str) -> str:
        """Run commands one after the other in one shell, which ends at the first that fails; what it exports stays.

        :returns: what they have printed.
        """
        script = "\n".join(["set -euo pipefail", *map(self._here, commands), "env -0 > .exported"])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, timeout=_PATIENCE_SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"exit code {done.returncode}\n{script}\n{done.stdout}"
        exported = (self.folder / ".exported").read_text().rstrip("\0").split("\0")
        self.environment = {name: value for name, _, value in (line.partition("=") for line in exported)}
        return done.stdout

    def _here(self, command: str) -> str:
        """Put in what a reader has to: the port, and the key that was shown."""
        command = command.replace(_DOCUMENTED_ADDRESS, f"127.0.0.1:{self.port}")
        return re.sub(r"export ADMIN_KEY='[^']*'", "export ADMIN_KEY", command)

    def _furnish(self) -> None:
        """Make what `make setup` makes, without fetching anything: that it installs from the locks is another test's."""
        home = self.folder / ".venv"
        venv.create(home, symlinks=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
        # The copy goes before the folder of our libraries, where an editable install would lead to the original.
        (packages / "house.pth").write_text(f"{self.folder}\n{sysconfig.get_path('purelib')}\n")
        for name, entrance in _SCRIPTS.items():
            script = home / "bin" / name
            script.write_text(f"#!{home}/bin/python\nimport sys\n{entrance}\nsys.exit(main())\n")
            script.chmod(0o755)
        (home / "runtime.stamp").touch()


def quota(home: House, key: str) -> str:
    """Ask with a key, and tell the status of the answer."""
    return home.run(f"curl -s -o /dev/null -w '%{{http_code}}' $api/quota -H 'Authorization: Bearer {key}'")


def items(home: House, command: str) -> list[dict[str, Any]]:
    """Read what a command of the client lists."""
    listed: list[dict[str, Any]] = json.loads(home.run(f".venv/bin/greenroom {command} --json"))["items"]
    return listed


def watch(home: House, job_id: str) -> str:
    """Follow a job to its end; anything but completed is an error."""
    return home.run(f".venv/bin/greenroom watch {job_id}")
