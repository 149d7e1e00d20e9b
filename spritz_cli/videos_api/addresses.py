"""Which addresses footage may be fetched from.

The address comes from the provider, so a broken or hostile one could make us
fetch from inside our own network (a cloud's metadata service, a database's
console) or hand the key to a stranger. Hence, for every address and every hop
of a redirect: the key goes to the origin of `base_url` alone; other hosts are
spoken to by https only, are resolved here, and are refused if any address of
theirs is not a public one. The connection is then made to the very address
that was checked, since a name may resolve differently a moment later.
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

#: Metadata services that hide in ranges which a private network may use as well.
METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200"))

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(Exception):
    """Nothing may be fetched from this address; the text says why."""


class Unresolved(Refused):
    """The name has no address just now."""


class Gatekeeper:
    """Decides where footage may come from, given the address that the operator chose."""

    def __init__(self, base_url: httpx.URL) -> None:
        self._base = base_url

    def is_home(self, url: httpx.URL) -> bool:
        """Whether it is the operator's own choice: scheme, host and port of `base_url`."""
        return _origin(url) == _origin(self._base)

    def check(self, url: httpx.URL) -> list[str]:
        """Return the addresses, all checked, that a strange host may be reached at."""
        if url.scheme != "https" and not (url.scheme == "http" and self._is_local):
            raise Refused(f"{url.scheme or 'no scheme'} where https is needed")
        addresses = _resolve(url)
        for address in addresses:
            if not self._allows(address):
                raise Refused(f"{url.host} leads into a private network")
        return [str(address) for address in addresses]

    def _allows(self, address: Address) -> bool:
        if any(one in METADATA or one.is_link_local for one in _meanings(address)):
            return False
        if self._is_local:
            return not (address.is_multicast or address.is_unspecified)
        return all(one.is_global and not one.is_multicast for one in _meanings(address))

    @cached_property
    def _is_local(self) -> bool:
        """Whether the operator's server itself stands in a private network."""
        try:
            addresses = _resolve(self._base)
        except Refused:
            return False
        return all(one.is_private or one.is_loopback for one in addresses)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _resolve(url: httpx.URL) -> list[Address]:
    try:
        found = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Unresolved(f"{url.host} cannot be resolved") from exc
    texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in found)
    return [ipaddress.ip_address(text) for text in texts]


def _meanings(address: Address) -> Iterator[Address]:
    """Yield the address, and any IPv4 address that is dressed up in it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            yield inner
