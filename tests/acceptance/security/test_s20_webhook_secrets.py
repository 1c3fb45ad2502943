"""S20: a webhook's secret is shown when it is made, and never again."""

import base64

from tests.acceptance.post import post, register
from tests.acceptance.served import captured_logs
from tests.acceptance.stage import items
from tests.receiver import receiving


def test_no_get_shows_a_secret(database_url: str) -> None:
    """Neither an address that is read nor a log has either secret in it, nor what it is made of."""
    with captured_logs() as logged, post(database_url) as office, receiving() as receiver:
        # given
        ann = office.greenroom.user("ann")
        made = register(ann, f"{receiver.url}?token=canary-in-the-url")
        rotated = ann.post(f"/webhooks/{made['id']}/rotate").json()
        office.complete(ann)
        (one,) = receiver.wait(1)
        # when
        shown = "".join(
            client.get(path).text
            for client in (ann, office.greenroom.admin)
            for path in ("/webhooks", f"/webhooks/{made['id']}", f"/webhooks/{made['id']}/deliveries", f"/deliveries/{one.id}")
        )
        shown += ann.patch(f"/webhooks/{made['id']}", json={"events": ["job.failed"]}).text
        shown += str(items(ann, "/webhooks"))
    # then
    for secret in (made["secret"], rotated["secret"]):
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) >= 24
        assert secret.removeprefix("whsec_") not in shown + logged.getvalue()
    assert "canary-in-the-url" not in logged.getvalue()
