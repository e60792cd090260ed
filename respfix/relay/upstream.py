"""A server behind respfix: its address, and the target that a request gets there.

Targets are joined as text. A URL library would tidy them up (`%7e`, `//`, `..`), and a relay must not.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the requests go."""

    scheme: str
    host: str  # IPv6 without brackets
    port: int
    path: str  # "" or "/v1"; no slash at its end
    authorization: str | None = None  # from credentials in the URL; only for requests that bring none of their own
    socket: str | None = None  # its path, for a server that listens on a unix socket

    @classmethod
    def parse(cls, url: str) -> Upstream:
        """Read a URL that the configuration has already found to be one."""
        if url.startswith("unix:"):
            return cls("http", "localhost", DEFAULT_PORTS["http"], "", socket=url.removeprefix("unix:"))
        parts = urlsplit(url)
        secret = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            secret = "Basic " + base64.b64encode(pair.encode()).decode()
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), secret)

    @property
    def authority(self) -> str:
        """What stands in the Host header; a default port is left out, as clients do."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL for people: without its credentials."""
        return f"unix:{self.socket}" if self.socket else f"{self.scheme}://{self.authority}{self.path}"

    def target(self, raw_path: str) -> str:
        """The request target at the upstream: path and query byte for byte, behind the upstream's own path.

        Users write `/v1` on both sides: `--upstream http://h:8080/v1` and a client base of `http://respfix/v1`. So
        what the upstream's path ends with and the request's path begins with is said once.
        """
        head = self.path.split("/")[1:]
        path = raw_path.partition("?")[0].split("/")[1:]
        shared = next((n for n in range(len(head), 0, -1) if head[-n:] == path[:n]), 0)
        return "".join(f"/{segment}" for segment in head[: len(head) - shared]) + raw_path


def is_responses(method: str, raw_path: str) -> bool:
    """The request may be answered by a Responses stream: `POST …/responses`, whatever stands before it.

    One slash at the end is tolerated: servers built on Django or FastAPI route `/responses/` to the same handler, and
    no sub-path of the API is empty. `/responses/compact`, `/responses/input_tokens` and `/responses/{id}` are others.
    """
    return method == "POST" and raw_path.partition("?")[0].removesuffix("/").endswith("/responses")
