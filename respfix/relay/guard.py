"""Who may ask: the Host header against DNS rebinding.

A web page can make its own name resolve to 127.0.0.1 and then talk to respfix as its own origin. The browser still
sends the page's name as Host, so only names that respfix is known by are answered. Addresses cannot be rebound.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from respfix.config import Address, Listener

LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})  # the second is what Debian's /etc/hosts says for ::1


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class HostGuard:
    """Knows the names under which respfix may be addressed."""

    __slots__ = ("_addresses", "_any_address", "_names")

    def __init__(self, listeners: Iterable[Listener], names: Iterable[str] = ()) -> None:
        hosts = {listener.host for listener in listeners if isinstance(listener, Address)}
        known = hosts | {name.lower().removesuffix(".") for name in names}
        self._names = known | LOOPBACK_NAMES
        self._addresses = {address for name in known if (address := _address(name))}
        # Who listens everywhere is reached by any of the machine's addresses, or by the host's through a container.
        self._any_address = any(address.is_unspecified for address in self._addresses)

    def admits(self, host: str | None) -> bool:
        """Decide by the Host header, with or without a port; browsers always send one, HTTP/1.0 clients may not."""
        if host is None:
            return True
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        address = _address(name)
        if address is None:
            return name.lower().removesuffix(".") in self._names
        return self._any_address or address.is_loopback or address in self._addresses
