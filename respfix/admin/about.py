"""What those who look after respfix have to know of it besides what happened; the service tells it anew each time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class About:
    """The service as it is now; a reload may change all of it."""

    version: str
    repair: str  # on, observe or off
    listen: tuple[str, ...]  # where clients connect, as `http://host:port` or the path of a socket
    upstreams: tuple[str, ...]  # without credentials
    is_draining: bool = False
