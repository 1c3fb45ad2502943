"""Targets: where a webhook may go. Addresses are judged when they are connected to, for what a name means may change."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The same words for a name that is not known and for whatever lies inside: they are no map of it.
NO_PUBLIC_ADDRESS = "the host has no public address"

_HTTPS_PORT = 443
_LONGEST_URL = 2000
_NUMERIC = re.compile(r"(?i)(0x[0-9a-f]*|[0-9]+)")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        # What the registries call special, and the metadata service of a cloud that uses a public address for it.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # Of IPv6 only what is handed out to the public (2000::/3) is left, less what tunnels to IPv4, tests or documents.
        "::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
    )
)  # fmt: skip


class TargetRefusedError(Exception):
    """A webhook may not go there; the message says why, in words that its owner may read."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that has the form of a webhook's.

    :param host: as it stands in a certificate, without brackets.
    """

    url: str
    scheme: str
    host: str
    port: int

    @property
    def is_plain(self) -> bool:
        """Whether it is https on its own port, which needs no permission."""
        return self.scheme == "https" and self.port == _HTTPS_PORT

    @property
    def address(self) -> Address | None:
        """The address that the URL names; None for a name that has to be looked up."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse(url: str) -> Target:
    """Read a URL.

    :raises TargetRefusedError: it has not the form of a webhook's.
    """
    from httpx import URL, InvalidURL

    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise TargetRefusedError(f"needs to be a URL of at most {_LONGEST_URL} printable ASCII characters")
    try:
        parsed = URL(url)
        port, name = parsed.port, parsed.host
    except (InvalidURL, ValueError):
        raise TargetRefusedError("is not a URL") from None
    if parsed.scheme not in {"http", "https"} or not name or (port is not None and not 0 < port < 2**16):
        raise TargetRefusedError("needs to be of the form https://host/path")
    if "@" in url.split("/", 3)[2]:
        raise TargetRefusedError("may not hold credentials")
    if parsed.fragment or "#" in url:
        raise TargetRefusedError("may not have a fragment")
    host = parsed.raw_host.decode()
    if host.endswith("."):
        # A name that is looked up is not the one that stands in certificates and pins.
        raise TargetRefusedError("may not have a host that ends in a dot")
    target = Target(url, parsed.scheme, host, {"http": 80, "https": _HTTPS_PORT}[parsed.scheme] if port is None else port)
    if target.address is None and _NUMERIC.fullmatch(host.rpartition(".")[2]):
        # 127.1, 2130706433 and 0x7f000001 are addresses to some libraries and names to others.
        raise TargetRefusedError("has a host that is neither a name nor an address")
    if "%" in host:
        raise TargetRefusedError("may not name a network interface")
    return target


def check(target: Target, addresses: Sequence[Address], *, allowed: Sequence[Network]) -> None:
    """See that a webhook may go to all of these addresses.

    :param addresses: of the target's host, at this moment; none, where they are not known yet, do for https on its own port.
    :param allowed: networks in which http, any port and private addresses are allowed.
    :raises TargetRefusedError: it may not go to one of them.
    """
    strange = [address for address in addresses if not any(is_within(address, network) for network in allowed)]
    if not target.is_plain and (strange or not addresses):
        raise TargetRefusedError("needs to be https on port 443" + (", or in a network that is allowed" if allowed else ""))
    if not all(map(is_public, strange)):
        raise TargetRefusedError(NO_PUBLIC_ADDRESS)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the internet's at large."""
    address = _meant(address)
    return not any(is_within(address, network) for network in _NOT_PUBLIC)


def is_within(address: Address, network: Network) -> bool:
    """Tell whether an address, or the IPv4 address that it stands for, lies in a network."""
    return _meant(address) in network or address in network


def _meant(address: Address) -> Address:
    """Give the IPv4 address that is meant by one of IPv6; `localhost` is both of a machine's loopbacks, or neither."""
    if isinstance(address, IPv4Address):
        return address
    return IPv4Address("127.0.0.1") if address.is_loopback else address.ipv4_mapped or address
