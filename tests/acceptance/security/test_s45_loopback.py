"""S45: compose publishes its servers on this machine only, and not without credentials of the operator's own."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "compose.yaml").read_text())
SERVERS = pytest.mark.parametrize("server", COMPOSE["services"].values(), ids=COMPOSE["services"].keys())


@SERVERS
def test_servers_are_published_on_loopback(server: dict[str, Any]) -> None:
    """No port of any server is reachable from another machine."""
    assert [port for port in server.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in server


@SERVERS
def test_credentials_come_from_the_environment(server: dict[str, Any]) -> None:
    """Every password is a variable without a default, for which compose refuses to start."""
    environment = {name: str(value) for name, value in server["environment"].items()}
    passwords = [value for name, value in environment.items() if re.search("PASS|SECRET|COOKIE", name)]
    passwords += [found[1] for value in environment.values() if (found := re.search(r"://[^:@/]+:(.+)@", value))]
    assert passwords
    assert [word for word in passwords if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", word)] == []
    assert not any("trust" in value for value in environment.values())
