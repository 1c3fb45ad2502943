"""S36: a receiver that says that it is gone is believed."""

from collections.abc import Iterator

import pytest

from tests import waiting
from tests.acceptance.post import Post, deliveries, post, register, settled
from tests.receiver import Receiver, receiving, status


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


def test_gone_disables(office: Post, receiver: Receiver) -> None:
    """After a 410 nothing is sent there any more, until its owner enables it again."""
    # given
    ann = office.greenroom.user("ann")
    receiver.behave = status(410)
    endpoint = register(ann, receiver.url)["id"]
    # when
    office.complete(ann)
    # then
    waiting.until(lambda: not ann.get(f"/webhooks/{endpoint}").json()["enabled"], "disabled endpoint", seconds=30)
    assert ann.get(f"/webhooks/{endpoint}").json()["disabled_reason"] == "the receiver answered 410 Gone"
    (gone,) = deliveries(ann, endpoint)
    assert (gone["status"], gone["response_status"]) == ("failed", 410)
    for path in (f"/webhooks/{endpoint}/test", f"/deliveries/{gone['id']}/redeliver"):
        assert ann.post(path).status_code == 409
    office.complete(ann)
    # when
    receiver.behave = status(200)
    assert ann.patch(f"/webhooks/{endpoint}", json={"enabled": True}).json()["enabled"]
    (told,) = office.complete(ann)
    # then
    (delivery,) = settled(ann, endpoint, "delivered")
    assert delivery["job"] == told
    assert len(receiver.received) == 2
