"""S31 and S32: every address of a name is checked when it is sent to, and the checked address is the one that is connected to."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from middleware import webhook_sender
from persistence import users, webhook_endpoints
from tests import waiting
from tests.acceptance.post import PATIENCE_SECONDS, Post, post, register, settled
from tests.receiver import Receiver

NAME = "hooks.example"
INSIDE = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1", "100.64.1.1")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """Give a function that makes a certificate for a name, of an authority that the sender trusts."""

    def make(name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the tests' own")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / "certificate.pem"
        file.write_bytes(made.public_bytes(Encoding.PEM))
        keys = tmp_path / "key.pem"
        keys.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, keys)
        return context

    return make


@pytest.fixture
def office(sqlite_database: str) -> Iterator[Post]:
    """Deliver; loopback is allowed, and what is not tried again has failed at once."""
    with post(sqlite_database, backoff_seconds=(0.0,)) as running:
        yield running


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let the sender's look-ups give these addresses, one answer after the other; gives the names that are looked up."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host: str, port: int) -> list[Any]:
        asked.append(host)
        return [ip_address(address) for address in (left.pop(0) if len(left) > 1 else left[0])]

    monkeypatch.setattr(webhook_sender, "resolve", resolve)
    return asked


def test_the_name_stays_in_tls(
    office: Post, certificate: Callable[[str], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once a try; the address of that answer is connected to, by the name in SNI, Host and certificate."""
    # given
    context, asked_for = certificate(NAME), []

    def by_name(tls: ssl.SSLObject, name: str | None, chosen: ssl.SSLContext) -> None:
        asked_for.append(name)

    context.sni_callback = by_name
    receiver = Receiver(context=context)
    try:
        ann = office.greenroom.user("ann")
        endpoint = register_name(office, f"https://{NAME}:{receiver.port}/hook")
        # Whoever asks a second time is led astray.
        asked = names(monkeypatch, ["127.0.0.1"], ["10.255.255.1"])
        # when
        office.complete(ann)
        # then
        settled(ann, endpoint, "delivered")
        (one,) = receiver.received
        assert asked == [NAME]
        assert asked_for == [NAME]
        assert one.headers["host"] == f"{NAME}:{receiver.port}"
    finally:
        receiver.close()


def test_another_names_certificate_is_refused(
    office: Post, certificate: Callable[[str], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that cannot show a certificate for the name is told nothing."""
    receiver = Receiver(context=certificate("other.example"))
    try:
        ann = office.greenroom.user("ann")
        endpoint = register_name(office, f"https://{NAME}:{receiver.port}/hook")
        names(monkeypatch, ["127.0.0.1"])
        office.complete(ann)
        (failed,) = settled(ann, endpoint, "failed")
        assert failed["error"] == "the certificate was not accepted"
        assert receiver.received == []
    finally:
        receiver.close()


@pytest.mark.parametrize("inside", INSIDE)
def test_a_name_that_leads_inside(sqlite_database: str, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    """One address inside among public ones is enough: nothing is connected to, and the answer does not tell what is there."""
    connected: list[httpx.Request] = []

    async def connect(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        connected.append(request)
        raise httpx.ConnectError("nobody is to come here")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    with post(sqlite_database, allow=(), backoff_seconds=(0.0,)) as office:
        ann = office.greenroom.user("ann")
        names(monkeypatch, ["93.184.215.14", inside])
        answer = ann.post("/webhooks", json={"url": f"https://{NAME}/"})
        assert answer.status_code == 201
        office.complete(ann)
        (failed,) = settled(ann, answer.json()["id"], "failed")
    assert (failed["error"], failed["response_status"]) == ("the host has no public address", None)
    assert connected == []


def test_an_allowed_network_allows_no_other(office: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where networks are allowed, a name on plain http is looked up with each try, and refused in words that are no map."""
    ann = office.greenroom.user("ann")
    said = []
    for addresses in (["10.1.2.3"], ["93.184.215.14"], []):
        names(monkeypatch, addresses)
        endpoint = register(ann, f"http://{NAME}:8080/")["id"]
        office.complete(ann)
        said += [one["error"] for one in settled(ann, endpoint, "failed")]
        assert ann.delete(f"/webhooks/{endpoint}").status_code == 204
    assert set(said) == {"needs to be https on port 443, or in a network that is allowed"}
    assert len(said) == 3


def test_silent_names_hold_up_nobody_else(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While names of two users are looked up for ever, another user's webhooks are sent at their first try."""
    go_on, asked = threading.Event(), []

    def resolve(host: str, port: int) -> list[Any]:
        if host == NAME:
            return [ip_address("127.0.0.1")]
        asked.append(host)
        go_on.wait(60)
        return []

    monkeypatch.setattr(webhook_sender, "resolve", resolve)
    receiver = Receiver()
    try:
        with post(sqlite_database, backoff_seconds=(0.0,) * 50) as office:
            for name in ("bob", "cid"):
                bad = office.greenroom.user(name)
                for number in range(20):
                    register(bad, f"http://{name}{number}.example:8080/")
                office.complete(bad, 4)
            waiting.until(lambda: len(asked) >= 8, "eight look-ups", seconds=PATIENCE_SECONDS)
            ann = office.greenroom.user("ann")
            endpoint = register(ann, f"http://{NAME}:{receiver.port}/")["id"]
            for count in range(1, 6):
                office.complete(ann)
                sent = settled(ann, endpoint, "delivered", count=count)
            assert [one["attempts"] for one in sent] == [1] * 5
            assert len(asked) <= 2 * 2 * 4  # of each user four that have not failed the last time, and four that have
            go_on.set()
    finally:
        go_on.set()
        receiver.close()


def register_name(office: Post, url: str) -> str:
    """Register by a name that only the tests know, past the check of a port that is not https's."""
    with office.greenroom.database.write() as session:
        owner = users.find(session, name="ann")
        return webhook_endpoints.create(session, user_id=owner.id, url=url, events=["job.completed"]).id
