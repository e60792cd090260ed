"""Where respfix listens, and where its upstreams do."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from respfix.config.kinds import Kind

# What fits into the kernel's sockaddr_un with its final zero, on Linux; macOS has four bytes less and says so itself.
UNIX_PATH = re.compile(r"/[!-9;-~]{0,106}")


def _host(text: str) -> str:
    """A name or an address, lower case and without IPv6's brackets."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    labels = host.removesuffix(".").split(".")
    # RFC 1123, and the underscore because container networks use it; a name that ends in digits is a broken IPv4.
    if all(re.fullmatch(r"[\w-]{1,63}", label, re.ASCII) for label in labels) and not labels[-1].isdigit():
        return host.lower()
    return str(ipaddress.ip_address(host))


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen on; port 0 takes a free one."""

    host: str
    port: int
    is_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https://' * self.is_tls}{host}:{self.port}"

    @property
    def url(self) -> str:
        """What clients ask."""
        return str(self) if self.is_tls else f"http://{self}"

    @property
    def is_private(self) -> bool:
        """Only this machine can connect."""
        return bool(re.fullmatch(r"localhost|127(\.\d+){3}|::1", self.host))

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port` with IPv6 in brackets; the host must be said, because "everywhere" must be meant."""
        bare = text.removeprefix("https://")
        host, _, port = bare.removeprefix("http://" if bare == text else "").rpartition(":")
        bare_ipv6 = ":" in host and not host.startswith("[")
        if bare_ipv6 or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) >= 2**16:
            raise ValueError(text)
        return cls(_host(host), int(port), bare != text)


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system; who may connect is decided by the permissions of its folder."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def url(self) -> str:
        """What clients ask, as far as it can be said in one word."""
        return str(self)

    is_private = True  # nobody reaches it through a network
    is_tls = False

    @classmethod
    def parse(cls, text: str) -> UnixSocket:
        """`unix:/absolute/path`, or `unix:///absolute/path` as others write it; no colon or space in the path."""
        path = text.removeprefix("unix:").removeprefix("//")
        if not text.startswith("unix:") or not UNIX_PATH.fullmatch(path):
            raise ValueError(text)
        return cls(path)


Listener = Address | UnixSocket


def _listener(text: str) -> Listener:
    return UnixSocket.parse(text) if text.startswith("unix:") else Address.parse(text)


def _url(text: str) -> str:
    if text.startswith("unix:"):
        return str(UnixSocket.parse(text))
    url = urlsplit(text)
    clean = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and re.fullmatch(r"[!-~]+", text)
    if not clean or "?" in text or "#" in text:
        raise ValueError(text)
    return text


LISTENERS = "host:port, such as 127.0.0.1:8081 or [::1]:8081, https://host:port, or unix:/path"
URL = "http://host:port or https://host, with or without a path, such as http://127.0.0.1:8080, or unix:/path"

Listeners = Annotated[tuple[Listener, ...], Kind(LISTENERS, _listener, is_list=True)]
Url = Annotated[str, Kind(URL, _url)]
Hosts = Annotated[tuple[str, ...], Kind("host names without a port, such as respfix.lan", _host, is_list=True)]
