"""S48: what is secret, or a tenant's own, stands in no log and no error."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from persistence.ledger import Ledger
from tests.acceptance.security.tokens import HS256, token
from tests.acceptance.served import ECHO, Served, captured_logs, served

PAYLOAD_CANARY = "canary-in-a-payload-7Qm2"
PASSWORD_CANARY = "canary-password-9Xw4"


@pytest.fixture
def greenroom_with_tokens(database_url: str) -> Iterator[Served]:
    """An API that takes tokens."""
    with served(database_url, jwt=HS256) as greenroom:
        yield greenroom


def test_no_canary_comes_out(greenroom_with_tokens: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, tokens and payloads of good, bad and failing requests are in neither the log at its loudest nor the answers."""
    greenroom = greenroom_with_tokens
    jwt = token()
    with captured_logs() as log:
        # given
        greenroom.put_user("ann")
        key = greenroom.make_key("ann")["key"]
        user, by_token = greenroom.client(key), greenroom.client(jwt)
        job: dict[str, Any] = {"type": ECHO, "payload": {"of": PAYLOAD_CANARY}}

        def fail(ledger: Ledger, *arguments: object, **words: object) -> None:
            raise RuntimeError(f"{arguments} {words} {key} {jwt} postgresql://u:{PASSWORD_CANARY}@db/x")

        # when
        answers = [user.post("/jobs", json=job), by_token.get("/quota")]
        answers += [
            user.post("/jobs", json=job | {"type": "unknown"}),
            user.post("/jobs", json=job | {"unknown": PAYLOAD_CANARY}),
            user.post("/jobs", json=job, headers={"Idempotency-Key": "1"}),
            user.post("/jobs", content=b'{"payload": "' + PAYLOAD_CANARY.encode(), headers={"Content-Type": "application/json"}),
            greenroom.client(key + "x").get("/quota"),
            greenroom.client(jwt + "x").get("/quota"),
            user.get("/quota", params={"key": key}),
        ]
        monkeypatch.setattr(Ledger, "hand_in", fail)
        failed = user.post("/jobs", json=job)
    # then
    text = log.getvalue()
    answered = "".join(answer.text for answer in answers[1:]).replace(answers[4].text, "") + failed.text
    assert failed.status_code == 500
    assert "request.failed" in text
    for canary in (key, key.split("_", 2)[2], jwt, jwt.split(".")[2], greenroom.admin_key, PASSWORD_CANARY):
        assert canary not in text
        assert canary not in answered
    assert PAYLOAD_CANARY not in answered
    assert "Traceback" not in failed.text
    assert "RuntimeError" not in failed.text
    assert set(failed.json()) == {"type", "title", "status", "detail", "code"}


def test_payloads_stay_out_of_database_errors(greenroom: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that fails is logged without the values that it was given."""
    monkeypatch.setattr("persistence.admission._ROW", {})
    with captured_logs() as log:
        answer = greenroom.admin.post("/jobs", json={"type": ECHO, "payload": {"of": PAYLOAD_CANARY}})
    assert answer.status_code >= 500
    assert "request." in log.getvalue()
    assert PAYLOAD_CANARY not in log.getvalue()


def test_secrets_are_hidden_by_name_and_by_form() -> None:
    """The log itself hides them, whoever hands them over: in fields, in nested ones, in messages and in tracebacks."""
    secrets = {
        "Authorization": "Bearer abc.def", "password": "hunter2", "api_key": "k-1", "payload": {"a": PAYLOAD_CANARY},
        "headers": {"authorization": "Basic Zm9v", "cookie": "s=1"}, "note": "key gr_abcdefgh2345_c2VjcmV0c2VjcmV0 used",
        "address": f"postgresql://greenroom:{PASSWORD_CANARY}@db/greenroom", "kwargs": {"x": 1},
        "error": f"bad\nDETAIL:  Failing row contains ({PAYLOAD_CANARY}).", "sql": f"INSERT [parameters: ('{PAYLOAD_CANARY}',)]",
    }  # fmt: skip
    with captured_logs() as log:
        structlog.get_logger("tests").info("event", **secrets)
        logging.getLogger("tests").warning("connecting to %s", secrets["address"])
        error = ValueError(f"cannot reach {secrets['address']} with {token()}")
        structlog.get_logger("tests").error("failed", exc_info=error)
    text = log.getvalue()
    for canary in ("abc.def", "hunter2", "k-1", PAYLOAD_CANARY, "Zm9v", "s=1", "c2VjcmV0", PASSWORD_CANARY, "eyJ"):
        assert canary not in text
    assert "ValueError" in text
    assert [json.loads(line)["event"] for line in text.splitlines()][::2] == ["event", "failed"]
