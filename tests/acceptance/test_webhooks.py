"""Webhooks over HTTP: what happened is told to whoever wants to know, signed, until it has arrived."""

from collections.abc import Iterator

import pytest
from standardwebhooks import WebhookVerificationError

from persistence.ids import new_id
from tests.acceptance.post import Post, deliveries, post, register, settled
from tests.acceptance.stage import submit
from tests.receiver import Receiver, Request, receiving, status


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


def test_ends_are_told_signed(office: Post, receiver: Receiver) -> None:
    """Completion and failure arrive with a signature that the library accepts, and nobody else's jobs and events do."""
    # given
    ann, bob = office.greenroom.user("ann"), office.greenroom.user("bob")
    office.complete(ann)
    endpoint = register(ann, receiver.url)
    # when
    office.complete(bob)
    (completed,) = office.complete(ann)
    failed = submit(ann)["id"]
    office.stage.fail(office.stage.take_one(), "NoGood")
    # then
    settled(ann, endpoint["id"], "delivered", count=2)
    told = {one.said["data"]["job"]: one for one in receiver.received}
    assert set(told) == {completed, failed}
    for one in told.values():
        one.verify(endpoint["secret"])
        assert (one.headers["content-type"], one.path) == ("application/json", "/hook")
    assert told[completed].said["type"] == "job.completed"
    assert told[failed].said["type"] == "job.failed"
    assert told[failed].said["data"]["error"]["type"] == "NoGood"
    with pytest.raises(WebhookVerificationError):
        told[failed].verify("whsec_" + "A" * 32)
    by_id = {one["id"]: one for one in deliveries(ann, endpoint["id"])}
    assert set(by_id) == {one.id for one in receiver.received}
    assert {one["payload"]["timestamp"] for one in by_id.values()} == {one.said["timestamp"] for one in told.values()}


def test_a_life_is_told(office: Post, receiver: Receiver) -> None:
    """Who asks for all events of a job is told each of its steps once."""
    ann = office.greenroom.user("ann")
    endpoint = register(ann, receiver.url, events=["job.enqueued", "job.active", "job.completed", "job.cancelled"])
    office.complete(ann)
    cancelled = submit(ann)["id"]
    assert ann.delete(f"/jobs/{cancelled}").status_code == 200
    settled(ann, endpoint["id"], "delivered", count=5)
    events = sorted(one.said["type"] for one in receiver.received)
    assert events == ["job.active", "job.cancelled", "job.completed", "job.enqueued", "job.enqueued"]


def test_a_failed_try_is_repeated_with_the_same_id(office: Post) -> None:
    """An answer of 500 is tried again: the id and the body are the same, the signature is of its own moment."""

    def second_time(request: Request, number: int) -> None:
        request.answer(500 if number == 1 else 200, b"{}")

    ann = office.greenroom.user("ann")
    with receiving(second_time) as receiver:
        endpoint = register(ann, receiver.url)
        office.complete(ann)
        first, second = receiver.wait(2)
        (delivery,) = settled(ann, endpoint["id"], "delivered")
    assert first.id == second.id == delivery["id"]
    assert first.body == second.body
    for one in (first, second):
        one.verify(endpoint["secret"])
    assert (delivery["attempts"], delivery["response_status"], delivery["error"]) == (2, 200, None)
    assert ann.get(f"/webhooks/{endpoint['id']}").json()["failures"] == 0


def test_given_up_and_sent_again_by_request(office: Post, receiver: Receiver) -> None:
    """After its last try a delivery has failed, and on request it is sent again with the same id."""
    # given
    ann = office.greenroom.user("ann")
    receiver.behave = status(503)
    endpoint = register(ann, receiver.url)
    office.complete(ann)
    (failed,) = settled(ann, endpoint["id"], "failed")
    assert (failed["attempts"], failed["response_status"], failed["error"]) == (3, 503, "answered 503")
    assert failed["next_attempt_at"] is None
    assert ann.get(f"/webhooks/{endpoint['id']}").json()["failures"] == 3
    # when
    receiver.behave = status(204)
    answer = ann.post(f"/deliveries/{failed['id']}/redeliver")
    # then
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    (again,) = settled(ann, endpoint["id"], "delivered")
    assert (again["id"], again["attempts"]) == (failed["id"], 4)
    assert ann.get(f"/deliveries/{failed['id']}").json()["status"] == "delivered"
    # when
    ann.post(f"/deliveries/{failed['id']}/redeliver")
    # then
    assert {one.id for one in receiver.wait(5)} == {failed["id"]}


def test_a_test_event_goes_the_same_way(office: Post, receiver: Receiver) -> None:
    """The test event is signed and listed as all others are."""
    ann = office.greenroom.user("ann")
    endpoint = register(ann, receiver.url)
    answer = ann.post(f"/webhooks/{endpoint['id']}/test")
    assert (answer.status_code, answer.json()["event"]) == (202, "webhook.test")
    (one,) = receiver.wait(1)
    one.verify(endpoint["secret"])
    assert (one.id, one.said["type"]) == (answer.json()["id"], "webhook.test")


def test_a_deleted_endpoint_is_told_nothing(office: Post, receiver: Receiver) -> None:
    """After DELETE the endpoint and its deliveries are not to be found, and another one gets its events alone."""
    ann = office.greenroom.user("ann")
    with receiving() as other:
        deleted, kept = register(ann, receiver.url)["id"], register(ann, other.url)["id"]
        office.complete(ann)
        (delivery,) = settled(ann, deleted, "delivered")
        assert ann.delete(f"/webhooks/{deleted}").status_code == 204
        office.complete(ann)
        settled(ann, kept, "delivered", count=2)
        for path in (f"/webhooks/{deleted}", f"/webhooks/{deleted}/deliveries", f"/deliveries/{delivery['id']}"):
            assert ann.get(path).status_code == 404
    assert len(receiver.received) == 1
    assert [one["id"] for one in ann.get("/webhooks").json()["items"]] == [kept]


def test_several_couriers_share_the_work(office: Post, receiver: Receiver) -> None:
    """Three couriers deliver each event once."""
    office.open()
    office.open()
    ann = office.greenroom.user("ann", tier="enterprise")
    endpoint = register(ann, receiver.url)
    jobs = office.complete(ann, 25)
    settled(ann, endpoint["id"], "delivered", count=25)
    assert sorted(one.said["data"]["job"] for one in receiver.received) == sorted(jobs)


def test_a_bad_receiver_holds_up_nobody(office: Post, receiver: Receiver) -> None:
    """While one receiver hangs with many events to come, another user's events arrive."""
    # given
    ann, bob = office.greenroom.user("ann", tier="enterprise"), office.greenroom.user("bob")
    with receiving() as bad:
        bad.behave = bad.hang
        register(ann, bad.url)
        office.complete(ann, 15)
        bad.wait(4)
        # when
        register(bob, receiver.url)
        office.complete(bob, 2)
        # then
        receiver.wait(2, seconds=10)
        assert len(bad.received) < 15


def test_what_was_under_way_at_the_end_is_sent_again(office: Post) -> None:
    """A courier that is told to stop breaks off what hangs; the next one sends it with the same id, and it counts once."""
    ann = office.greenroom.user("ann")
    with receiving() as receiver:
        receiver.behave = receiver.hang
        endpoint = register(ann, receiver.url)["id"]
        office.complete(ann)
        (first,) = receiver.wait(1)
        # when
        office.close()
        receiver.behave = status(200)
        office.open()
        # then
        (delivery,) = settled(ann, endpoint, "delivered")
        assert delivery["id"] == first.id == receiver.received[-1].id


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": 3},
        {"url": "http://127.0.0.1:9/", "events": []},
        {"url": "http://127.0.0.1:9/", "events": ["job.progress"]},
        {"url": "http://127.0.0.1:9/", "secret": "whsec_mine"},
        {"url": "http://127.0.0.1:9/", "user": "bob"},
    ],
    ids=str,
)
def test_what_cannot_be_registered(office: Post, body: dict[str, object]) -> None:
    """A body that is not right is a 400 that names the field, and nothing is written."""
    ann = office.greenroom.user("ann")
    answer = ann.post("/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION")
    assert ann.get("/webhooks").json()["items"] == []


def test_there_are_only_so_many(office: Post, receiver: Receiver) -> None:
    """A user's twenty-first endpoint is refused, with the limit."""
    ann = office.greenroom.user("ann")
    for _ in range(20):
        register(ann, receiver.url)
    answer = ann.post("/webhooks", json={"url": receiver.url})
    assert (answer.status_code, answer.json()["limit"]) == (400, 20)
    assert len(ann.get("/webhooks").json()["items"]) == 20


def test_nonsense_is_not_found(office: Post) -> None:
    """Ids that nobody has are 404 on every address."""
    ann = office.greenroom.user("ann")
    for id in (new_id(), "nonsense"):
        assert ann.get(f"/webhooks/{id}").status_code == 404
        assert ann.post(f"/deliveries/{id}/redeliver").status_code == 404
