"""Which network addresses are the public Internet, whatever form they come in. Pure.

Everything else is refused: this machine, its networks, the metadata services of clouds, and the forms in which
an IPv4 address hides in an IPv6 one.

Source: IANA special-purpose address registries for IPv4 and IPv6, 2025-10.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out; what lies outside is special or nobody's."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: Final[tuple[Network, ...]] = (
    IPv4Network("192.88.99.0/24"),  # relays from 6to4, given up
    IPv6Network("2001::/23"),  # protocol assignments; Teredo, ORCHID
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address inside
    IPv6Network("3fff::/20"),
    IPv6Network("3ffe::/16"),
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
"""The third quarter of an address that has an IPv4 address of a private network for its last."""


def is_public(text: str) -> bool:
    """Whether an address, as a resolver gives it, is one of the public Internet."""
    try:
        address = plain(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
        if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return False
    is_listed = any(address in network for network in _NOT_PUBLIC if network.version == address.version)
    return address.is_global and not address.is_multicast and not is_listed


def is_within(text: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks (``10.0.0.0/8``, ``127.0.0.1``)."""
    try:
        address = plain(text)
    except ValueError:
        return False
    known = [ip_network(network, strict=False) for network in networks]
    return any(address.version == network.version and address in network for network in known)


def plain(text: str) -> Address:
    """The address; of an IPv6 form that stands for an IPv4 one (mapped, NAT64), that one. ``ValueError`` for none."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is None:
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
