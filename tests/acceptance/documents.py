"""Documents: how tests ask in GraphQL."""

from typing import Any

import httpx


def post(client: httpx.Client, query: str, **variables: Any) -> httpx.Response:
    """Send a document."""
    url = client.base_url.copy_with(path="/graphql")
    return client.post(url, json={"query": query, "variables": variables})


def ask(client: httpx.Client, query: str, **variables: Any) -> Any:
    """Send a document that has to be answered without any error."""
    answer = post(client, query, **variables)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert "errors" not in body, answer.text
    return body["data"]


def codes(answer: httpx.Response) -> list[str]:
    """List the codes of an answer's errors."""
    return [error["extensions"]["code"] for error in answer.json()["errors"]]
