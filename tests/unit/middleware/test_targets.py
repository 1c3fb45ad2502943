"""Targets: which addresses are the internet's at large, and how a day of tries is spread."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware.settings import WebhookSettings
from middleware.targets import TargetRefusedError, check, is_public, parse
from persistence.environment import SettingsError, load


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_all_its_forms(address: object) -> None:
    """What stands for an IPv4 address is no more public than that address, and translated forms never are."""
    number = int(ip_address(str(address)))
    mapped = IPv6Address(0xFFFF << 32 | number)
    assert is_public(mapped) == is_public(ip_address(str(address)))
    for prefix in ("64:ff9b::", "64:ff9b:1::", "::", "2002::"):
        shift = 80 if prefix == "2002::" else 0
        assert not is_public(IPv6Address(int(IPv6Address(prefix)) | number << shift))


@given(st.ip_addresses())
def test_nothing_special_is_public(address: object) -> None:
    """No address is public that Python's own registry knows as private, local, reserved or of many."""
    one = ip_address(str(address))
    if is_public(one):
        assert one.is_global
        assert not any((one.is_multicast, one.is_private, one.is_loopback, one.is_link_local, one.is_unspecified))


def test_one_address_inside_is_enough() -> None:
    """A name is refused for any one of its addresses, and for a port that only an allowed network may have."""
    public, inside = ip_address("93.184.215.14"), ip_address("10.0.0.1")
    plain, odd = parse("https://hooks.example/"), parse("http://hooks.example:8080/")
    allowed = [ip_network("10.0.0.0/8")]
    check(plain, [public], allowed=[])
    check(odd, [inside], allowed=allowed)
    for target, addresses, allow in (
        (plain, [public, inside], []),
        (odd, [public], allowed),
        (odd, [inside, public], allowed),
        (odd, [], allowed),
    ):
        with pytest.raises(TargetRefusedError):
            check(target, addresses, allowed=allow)


def test_a_port_is_one_that_there_is() -> None:
    """No allowance makes a port of a number that is none."""
    assert parse("http://127.0.0.1:65535/").port == 65535
    with pytest.raises(TargetRefusedError):
        parse("http://127.0.0.1:65536/")


def test_localhost_is_allowed_as_one() -> None:
    """Where 127.0.0.0/8 is allowed, a name that leads to both of the machine's loopbacks may be used."""
    both = [ip_address("::1"), ip_address("127.0.0.1")]
    check(parse("http://localhost:8080/"), both, allowed=[ip_network("127.0.0.0/8")])
    with pytest.raises(TargetRefusedError):
        check(parse("http://localhost:8080/"), both, allowed=[ip_network("10.0.0.0/8")])


def test_the_first_retry_is_soon_and_the_last_after_a_day() -> None:
    """Unless settings say otherwise the first retry comes within 10 seconds, and the last one after most of a day."""
    waits = WebhookSettings().backoff_seconds
    assert waits[0] < 10
    assert list(waits) == sorted(waits)
    assert 0.9 * 86_400 < sum(waits) < 1.1 * 86_400


@pytest.mark.parametrize("value", ["10.0.0.0/33", "everything", "10.0.0.1/8"])
def test_an_allowance_is_a_network(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What is no network ends the start with the setting's name."""
    monkeypatch.setenv("GREENROOM_WEBHOOK_ALLOW", value)
    with pytest.raises(SettingsError, match="GREENROOM_WEBHOOK_ALLOW"):
        load(WebhookSettings)


def test_allowances_are_read_from_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several networks stand beside each other, of both kinds."""
    monkeypatch.setenv("GREENROOM_WEBHOOK_ALLOW", "127.0.0.0/8, fd00::/8,")
    monkeypatch.setenv("GREENROOM_WEBHOOK_BACKOFF_SECONDS", "1,2")
    settings = load(WebhookSettings)
    assert settings.allow == (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.backoff_seconds == (1.0, 2.0)
