"""S35: what is sent carries the signatures of Standard Webhooks, of an own secret for each endpoint."""

import base64
import hashlib
import hmac
from collections.abc import Iterator

import pytest
from standardwebhooks import WebhookVerificationError

from tests.acceptance.post import Post, post, register
from tests.receiver import Receiver, receiving


@pytest.fixture
def office(database_url: str) -> Iterator[Post]:
    """Serve the API and deliver, on both databases."""
    with post(database_url) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Listen."""
    with receiving() as listening:
        yield listening


def test_the_signature_is_the_specifications(office: Post, receiver: Receiver) -> None:
    """`v1` and the HMAC-SHA256 of id, timestamp and body with dots between them, by a secret of 24 bytes or more."""
    ann = office.greenroom.user("ann")
    made = {path: register(ann, f"{receiver.url}/{path}")["secret"] for path in ("a", "b")}
    office.complete(ann)
    for one in receiver.wait(2):
        secret = made[one.path.rpartition("/")[2]]
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{one.id}.{one.headers['webhook-timestamp']}.{one.body}".encode()
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert len(key) >= 24
        assert one.headers["webhook-signature"] == wanted
    assert made["a"] != made["b"]


def test_a_rotated_secret_has_both_signatures_for_a_time(office: Post, receiver: Receiver) -> None:
    """While the overlap lasts a receiver with either secret is content, and afterwards only one with the new secret."""
    ann = office.greenroom.user("ann")
    made = register(ann, receiver.url)
    # when
    rotated = ann.post(f"/webhooks/{made['id']}/rotate", json={"overlap_seconds": 3600}).json()
    office.complete(ann)
    # then
    (one,) = receiver.wait(1)
    assert rotated["secret"] != made["secret"]
    assert one.headers["webhook-signature"].count("v1,") == 2
    one.verify(made["secret"])
    one.verify(rotated["secret"])
    # when
    last = ann.post(f"/webhooks/{made['id']}/rotate", json={"overlap_seconds": 0}).json()
    office.complete(ann)
    # then
    _, two = receiver.wait(2)
    two.verify(last["secret"])
    with pytest.raises(WebhookVerificationError):
        two.verify(rotated["secret"])
