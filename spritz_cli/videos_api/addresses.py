"""Decides which addresses footage may be downloaded from.

The URL comes from the provider. A broken or hostile provider could make us
download from our own network (a cloud's metadata service, the console of a
database), or send the key to another host. So these rules apply to every URL
and every redirect: only the origin of `base_url` gets the key. Other hosts
need https, are resolved here, and are refused if any of their addresses is
not public. The connection then goes to a checked address, since the name may
resolve differently a moment later.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata services in address ranges that private networks may use, too.
METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200"))

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(Exception):
    """Raised for an address that must not be used, with the reason."""


class Unresolved(Refused):
    """Raised when a name has no address at the moment."""


class Gatekeeper:
    """Checks URLs of footage against the `base_url` that the operator has chosen."""

    def __init__(self, base_url: httpx.URL) -> None:
        self._base = base_url

    def is_home(self, url: httpx.URL) -> bool:
        """Whether a URL has scheme, host and port of `base_url`."""
        return _origin(url) == _origin(self._base)

    def check(self, url: httpx.URL) -> list[str]:
        """Return the addresses of another host, all checked; raises Refused."""
        if url.scheme != "https" and not (url.scheme == "http" and self._is_local):
            raise Refused(f"{url.scheme or 'no scheme'} instead of https")
        addresses = _resolve(url)
        for address in addresses:
            if not self._allows(address):
                raise Refused(f"{url.host} is in a private network")
        return [str(address) for address in addresses]

    def _allows(self, address: Address) -> bool:
        if any(one in METADATA or one.is_link_local for one in _forms(address)):
            return False
        if self._is_local:
            return not (address.is_multicast or address.is_unspecified)
        return all(one.is_global and not one.is_multicast for one in _forms(address))

    @cached_property
    def _is_local(self) -> bool:
        """Whether the server of `base_url` is in a private network itself."""
        try:
            addresses = _resolve(self._base)
        except Refused:
            return False
        return all(one.is_private or one.is_loopback for one in addresses)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _resolve(url: httpx.URL) -> list[Address]:
    try:
        infos = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Unresolved(f"{url.host} cannot be resolved") from exc
    texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
    return [ipaddress.ip_address(text) for text in texts]


def _forms(address: Address) -> Iterator[Address]:
    """Yield the address, and any IPv4 address embedded in it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            yield inner
