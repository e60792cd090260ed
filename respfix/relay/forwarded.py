"""Who asked: the client behind the proxies in front of respfix, and what an upstream is told about it.

Nothing is added unless `forwarded` says so. What a client says about itself in these headers is believed only if it is
one of `trusted_proxies`; otherwise it would choose its own address, and with it the limits that hold for it.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web
from multidict import CIMultiDict

from respfix.config import Listener
from respfix.config.kinds import UNIX, Network

FOR = "X-Forwarded-For"


def is_trusted(peer: str, trusted: tuple[Network, ...]) -> bool:
    """The peer, an address or nothing for a unix socket, is a proxy whose word counts."""
    if not peer:
        return UNIX in trusted
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(network != UNIX and (mapped or address) in network for network in trusted)


def client_of(request: web.BaseRequest, trusted: tuple[Network, ...]) -> str:
    """Whose request this is: the last address on its way here that is no trusted proxy."""
    peer = request.remote or ""
    if not trusted or not is_trusted(peer, trusted):
        return peer
    for hop in reversed(",".join(request.headers.getall(FOR, ())).split(",")):
        if hop.strip() and not is_trusted(hop.strip(), trusted):
            return hop.strip()
    return peer


def tell(headers: CIMultiDict[str], request: web.BaseRequest, listener: Listener, trusted: tuple[Network, ...]) -> None:
    """Write into the headers of a request to the upstream who asked, how, and for whom."""
    peer = request.remote or ""
    if not is_trusted(peer, trusted):
        for name in list(headers):
            if name.lower().startswith("x-forwarded-") or name.lower() == "forwarded":
                headers.popall(name, None)
    hops = [*headers.popall(FOR, ()), *([peer] if peer else ())]
    if hops:
        headers[FOR] = ", ".join(hops)
    headers.setdefault("X-Forwarded-Proto", "https" if listener.is_tls else "http")
    headers.setdefault("X-Forwarded-Host", request.headers.get("Host", ""))
