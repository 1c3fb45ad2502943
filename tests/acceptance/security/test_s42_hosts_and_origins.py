"""S42: only requests that are meant for this server are taken, and no other site's."""

import pytest

from api.settings import ApiSettings
from tests.acceptance.served import Served, served

NEAR_MISSES = [
    "localhost.evil.example", "evil-localhost", "127.0.0.1.nip.io", "127.0.0.11", "localhost@evil.example",
    "localhost:8000@evil.example", "localhost:", "localhost:99999", "localhost:8000:8000", "localhost/evil", "local host",
    "localhost,evil.example", "greenroom.example", "[::1", "0.0.0.1", "169.254.169.254", "*", ".localhost", "localhost.",
]  # fmt: skip


@pytest.mark.parametrize("host", NEAR_MISSES)
def test_near_misses_are_refused(greenroom_on_sqlite: Served, host: str) -> None:
    """A Host that is not exactly one of ours gives 400 on every address, existing or not; as an Origin likewise."""
    client = greenroom_on_sqlite.client(greenroom_on_sqlite.admin_key)
    for path in ("/health/live", "/api/v1/quota", "/schema", "/nonsense"):
        as_host = client.get(f"{greenroom_on_sqlite.url}{path}", headers={"Host": host})
        as_origin = client.get(f"{greenroom_on_sqlite.url}{path}", headers={"Origin": f"http://{host}"})
        for answer in (as_host, as_origin):
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", ["null", "", "localhost", "file://", "chrome-extension://abc", "http://"])
def test_strange_origins_are_refused(greenroom_on_sqlite: Served, origin: str) -> None:
    """What is no address of ours is no origin."""
    assert greenroom_on_sqlite.admin.get("/quota", headers={"Origin": origin}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1234", "127.0.0.1", "[::1]:8000"])
def test_our_own_names_are_taken(greenroom_on_sqlite: Served, host: str) -> None:
    """Loopback's names work with any port, as behind a published one; so does our own origin, and no CORS is granted."""
    answer = greenroom_on_sqlite.admin.get("/quota", headers={"Host": host, "Origin": f"https://{host}"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_forwarded_host_counts_for_nothing(greenroom_on_sqlite: Served) -> None:
    """Beside a wrong Host, or none, the right X-Forwarded-Host does not help, and beside a right one a wrong does not harm."""
    forwarded = {"X-Forwarded-Host": "localhost"}
    admin = greenroom_on_sqlite.admin
    assert admin.get("/quota", headers=forwarded | {"Host": "evil.example"}).status_code == 400
    assert admin.get("/quota", headers={"X-Forwarded-Host": "evil.example"}).status_code == 200
    for version in (b"1.0", b"1.1"):
        peer = greenroom_on_sqlite.connect()
        peer.sendall(b"GET /health/live HTTP/" + version + b"\r\nX-Forwarded-Host: localhost\r\n\r\n")
        assert peer.recv(65536).split(b" ")[1] == b"400"
    peer = greenroom_on_sqlite.connect()
    peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert peer.recv(65536).split(b" ")[1] == b"400"


def test_names_of_the_installation_are_a_setting(sqlite_database: str) -> None:
    """GREENROOM_ALLOWED_HOSTS adds names, and only those."""
    settings = ApiSettings(port=0, allowed_hosts="jobs.example, Jobs2.example")
    with served(sqlite_database, settings=settings) as greenroom:
        hosts = ("jobs.example", "jobs2.example:443", "jobs3.example", "ajobs.example")
        statuses = [greenroom.admin.get("/quota", headers={"Host": host}).status_code for host in hosts]
    assert statuses == [200, 200, 400, 400]


def test_a_preflight_grants_nothing(greenroom_on_sqlite: Served) -> None:
    """A browser that asks for another site is not told that it may."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = greenroom_on_sqlite.client().options("/jobs", headers=headers)
    assert answer.status_code >= 400
    assert not [name for name in answer.headers if name.startswith("access-control-")]
