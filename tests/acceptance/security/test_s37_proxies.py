"""S37: what the environment says of proxies, certificates to skip or passwords does not count for webhooks."""

import pytest

from tests.acceptance.post import post, register, settled
from tests.receiver import receiving


def test_proxies_are_ignored(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every variable of a proxy set the delivery goes straight to its receiver."""
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with post(sqlite_database) as office:
            ann = office.greenroom.user("ann")
            endpoint = register(ann, receiver.url)["id"]
            office.complete(ann)
            settled(ann, endpoint, "delivered")
        assert len(receiver.received) == 1
        assert proxy.received == []
