"""S34: of a receiver's reply no more than 64 kB are read, for no longer than the limit, and none of it is shown."""

import resource

from tests.acceptance.post import post, register, settled
from tests.receiver import Request, flood, receiving

SECRET = "what-is-inside-stays-inside"


def test_a_reply_is_not_shown(sqlite_database: str) -> None:
    """Neither the reply's body nor its headers come to the endpoint's owner."""

    def tell(request: Request, number: int) -> None:
        request.answer(500, SECRET.encode(), **{"X-Inside": SECRET})

    with post(sqlite_database, backoff_seconds=(0.0,)) as office, receiving(tell) as receiver:
        ann = office.greenroom.user("ann")
        endpoint = register(ann, receiver.url)["id"]
        office.complete(ann)
        (failed,) = settled(ann, endpoint, "failed")
        shown = ann.get(f"/webhooks/{endpoint}").text + ann.get(f"/deliveries/{failed['id']}").text
    assert SECRET not in shown


def test_a_gigabyte_is_not_read(sqlite_database: str) -> None:
    """A reply of 1 GB is cut off; what its status said counts, and memory stays where it was."""
    sent: list[int] = []

    def count(request: Request, number: int) -> None:
        flood(request, number, sent)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with post(sqlite_database) as office, receiving(count) as receiver:
        ann = office.greenroom.user("ann")
        endpoint = register(ann, receiver.url)["id"]
        office.complete(ann)
        settled(ann, endpoint, "delivered")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # A few megabytes leave the receiver all the same: the kernel's buffers on both sides take them in, and nobody reads them.
    assert sum(sent) < 2**25
    assert after - before < 100 * 1024


def test_slow_replies_end(sqlite_database: str) -> None:
    """A receiver that never answers and one that sends a header at a time are left at the limit of time."""
    with post(sqlite_database, backoff_seconds=(0.0,)) as office:
        for way in ("hang", "trickle"):
            with receiving() as receiver:
                receiver.behave = getattr(receiver, way)
                ann = office.greenroom.user(way)
                endpoint = register(ann, receiver.url)["id"]
                office.complete(ann)
                (failed,) = settled(ann, endpoint, "failed")
                assert (failed["error"], failed["response_status"]) == ("no answer within 1 seconds", None)
                assert len(receiver.received) == 2
