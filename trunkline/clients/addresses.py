"""Which addresses a URL that others wrote may lead to: public ones, and the clouds' own hosts wherever they are."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from aiohttp import AddrInfoType
from yarl import URL

from trunkline.errors import Rejected

# Protocols' own, old relays between IPv4 and IPv6, which hold an address within the address, and documentation.
_NOT_PUBLIC_V4 = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24")]
_NOT_PUBLIC_V6 = [ipaddress.ip_network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
# Where there is no IPv4, its addresses are reached within this prefix.
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """A connection to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether this is the address of a host on the open internet; what is no address in its usual spelling is not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _is_public_v4(ip) if isinstance(ip, IPv4Address) else _is_public_v6(ip)


def _is_public_v4(ip: IPv4Address) -> bool:
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC_V4)
    return ip.is_global and not special


def _is_public_v6(ip: IPv6Address) -> bool:
    if ip.ipv4_mapped is not None:
        return _is_public_v4(ip.ipv4_mapped)
    if ip in _NAT64:
        return _is_public_v4(IPv4Address(int(ip) & 0xFFFFFFFF))
    return ip.is_global and ip in _PUBLIC_V6 and not any(ip in network for network in _NOT_PUBLIC_V6)


def public_socket(address: AddrInfoType) -> socket.socket:
    """A socket to connect to `address`, as `getaddrinfo` gives it; raises AddressRefused for one that is not public.

    Here no name, redirect or odd spelling matters any more: this is what will be connected to.
    """
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise AddressRefused("the address is not public")
    return socket.socket(family, kind, protocol)


def authority(url: URL | str) -> str:
    """Scheme, host and port, in one spelling; raises Rejected for what is no URL of a host."""
    parsed = parse_url(url) if isinstance(url, str) else url
    return f"{parsed.scheme}://{(parsed.raw_host or '').lower()}:{parsed.port}"


def parse_url(url: str) -> URL:
    """The URL, if it is one that may be asked; raises Rejected."""
    try:
        parsed = URL(url)
        names_user = parsed.raw_user is not None or parsed.raw_password is not None
        if parsed.scheme in ("http", "https") and parsed.raw_host and parsed.port and not names_user:
            return parsed
    except ValueError:
        pass
    raise refused("its address is none")


class Destinations:
    """Where one may go: by https to public hosts, to the authorities of `own_urls` in any way."""

    def __init__(self, own_urls: Sequence[str]) -> None:
        self._own = frozenset(authority(url) for url in own_urls if url)

    def is_own(self, url: URL) -> bool:
        """Whether this is one of the clouds' own hosts; raises Rejected for an insecure way to another."""
        if authority(url) in self._own:
            return True
        if url.scheme != "https":
            raise refused("its address is not https")
        return False


def refused(why: str) -> Rejected:
    """A file that is not fetched for where it is."""
    return Rejected("media_unavailable", f"the file is not fetched: {why}", "GeneralError")
