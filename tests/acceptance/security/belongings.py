"""What a user can own, one of each, put where it ends up after a while of work."""

import httpx

from persistence import files, webhook_deliveries, webhook_endpoints
from persistence.books import Book
from persistence.database import as_instant, now
from persistence.dead_letters import DeadLetter
from persistence.ids import new_id
from persistence.users import User, find
from tests.acceptance.served import ECHO, Served

FILE = "result.txt"


def own_everything(greenroom: Served, client: httpx.Client, name: str) -> dict[str, str]:
    """Give a user one of all that ids lead to: jobs and their files, dead letters, books, runs, schedules, webhooks and more.

    :returns: the id of each, by what it is.
    """
    submitted = client.post("/jobs", json={"type": ECHO, "payload": {"of": name}, "tags": [f"tag-of-{name}"]})
    assert submitted.status_code == 202, submitted.text
    job_id: str = submitted.json()["id"]
    owned = {"job": job_id, "key": greenroom.make_key(name)["id"], "book": new_id(), "dead letter": new_id()}
    echo = {"type": ECHO, "payload": {}}
    owned["run"] = client.post("/runs", json={"name": f"of {name}", "jobs": [echo]}).json()["id"]
    owned["plan"] = client.post("/plans", json={"title": f"of {name}", "goals": ["Fix it"]}).json()["id"]
    owned["plan job"] = client.patch(f"/plans/{owned['plan']}", json={"action": "approve"}).json()["job_id"]
    owned["schedule"] = client.post("/schedules", json=echo | {"cron": "0 0 1 1 *"}).json()["id"]
    scenarios = {"name": f"of {name}", "scenarios": [{"prompt": "?"}]}
    owned["definition"] = client.post("/evaluations/definitions", json=scenarios).json()["id"]
    client.post("/repos", json={"owner": name, "name": name})
    owned["scan"] = client.post(f"/repos/{name}/{name}/scan").json()["scan_id"]
    with greenroom.database.write() as session:
        user: User = find(session, name=name)
        at = as_instant(now(session))
        assert at is not None
        session.add(Book(id=owned["book"], user_id=user.id, title=f"by {name}", filename="b.pdf", created_at=at))
        session.add(
            DeadLetter(
                id=owned["dead letter"],
                job_id=job_id,
                claim_no=1,
                user_id=user.id,
                type=ECHO,
                payload="{}",
                error='{"type":"ValueError","message":"no","retryable":false,"attempt":1}',
                fingerprint="f" * 16,
                attempts=1,
                died_at=at,
            )
        )
        hook = webhook_endpoints.create(session, user_id=user.id, url="https://hooks.example/", events=["job.failed"])
        delivery = webhook_deliveries.test(session, endpoint_id=hook.id, user_id=user.id, event="webhook.test")
        owned |= {"webhook": hook.id, "delivery": delivery.id}
        files.save(session, job_id=job_id, name=FILE, media_type="text/plain", chunks=[b"hi"], now=now(session))
    return owned | {"user": user.id}
