"""All operations of the API, read off its own OpenAPI document, so that no test forgets one."""

from dataclasses import dataclass
from typing import Any

from tests.acceptance.served import Served

VERSION_ONE = "/api/v1"
VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """One verb on one address under /api/v1."""

    verb: str
    path: str
    parameters: tuple[str, ...]
    queries: tuple[str, ...]
    media_types: tuple[str, ...]
    statuses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.path}"

    @property
    def streams(self) -> bool:
        """Whether the answer does not end by itself."""
        return self.path.endswith("/events")

    def fill(self, **values: str) -> str:
        """Write the address with values for its parameters."""
        return self.path.format(**dict.fromkeys(self.parameters, "x") | values)


def operations(greenroom: Served) -> list[Operation]:
    """Read the document."""
    document = greenroom.client().get(f"{greenroom.url}/schema/openapi.json").json()
    found = [
        _operation(verb, path, described)
        for path, verbs in document["paths"].items()
        if path.startswith(VERSION_ONE)
        for verb, described in verbs.items()
        if verb in VERBS
    ]
    assert len(found) > 20
    return found


def _operation(verb: str, path: str, described: dict[str, Any]) -> Operation:
    parameters = described.get("parameters", [])
    return Operation(
        verb,
        path.removeprefix(VERSION_ONE),
        tuple(parameter["name"] for parameter in parameters if parameter["in"] == "path"),
        tuple(parameter["name"] for parameter in parameters if parameter["in"] == "query"),
        tuple(described.get("requestBody", {}).get("content", {})),
        tuple(described["responses"]),
    )
