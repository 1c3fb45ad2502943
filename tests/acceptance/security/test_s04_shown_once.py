"""S4: a key is shown in the answer that makes it and never again."""

from tests.acceptance.served import Served


def test_a_key_is_shown_once(greenroom: Served) -> None:
    """The 201 holds the key; no list of keys or users does, nor the hash of it."""
    # given
    greenroom.put_user("ann")
    made = greenroom.make_key("ann")
    # when
    listed = greenroom.admin.get("/users/ann/keys")
    users = greenroom.admin.get("/users")
    # then
    assert [item["prefix"] for item in listed.json()["items"]] == [made["prefix"]]
    assert made["key"].startswith(f"gr_{made['prefix']}_")
    for answer in (listed, users):
        assert made["key"].split("_", 2)[2] not in answer.text
        assert "hash" not in answer.text
    assert "key" not in listed.json()["items"][0]
