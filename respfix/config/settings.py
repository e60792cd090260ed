"""Every setting there is.

The dataclasses are the only list of settings: the keys of the file, the `RESPFIX_*` variables and what
`--check-config` prints are derived from their fields, so none of them can fall behind. How a field is read from text
stands in its type (`Annotated[…, Kind]`, see `kinds.py`); where the text came from is the business of `sources.py`.

A route is the same configuration once more, for some of the requests: it says what is different there, and has the
rest from the top.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_type_hints

from respfix.config.addresses import Address, Hosts, Listener, Listeners, Url
from respfix.config.kinds import ConfigError, Count, File, Kind, Networks, Prefix, Seconds, choice, kind_of, nearest
from respfix.stream import Limits
from respfix.stream.defects import CLASSES, DEFECTS
from respfix.stream.dialects import DIALECTS


def _slug(text: str) -> str:
    known = (*DEFECTS, *CLASSES)
    if text not in known:
        raise ConfigError(f"no defect is called {text!r}{nearest(text, known)}")
    return text


Dialect = Annotated[str, choice("auto", *DIALECTS)]
Slugs = Annotated[tuple[str, ...], Kind("names of defects, such as missing-usage", _slug, is_list=True)]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds; 0 waits for ever where that makes sense. There is no limit on the whole answer."""

    connect: Seconds = 10.0
    first_byte: Seconds = 0.0
    idle: Seconds = 300.0
    grace: Seconds = 1.0
    upstream_keepalive: Seconds = 3.0
    client_keepalive: Seconds = 75.0
    drain: Seconds = 30.0


@dataclass(frozen=True, slots=True)
class Admission:
    """What is let in. Counts of 0 are no limit."""

    # A bearer token with its claims may have 9 kB, and aiohttp's 8190 would refuse it; the same for answers.
    header_bytes: int = 65536
    body_bytes: Count = 0
    requests: Count = 0
    requests_per_client: Count = 0


@dataclass(frozen=True, slots=True)
class Tls:
    """How respfix shows itself to clients, on listeners that begin with https://, and whom it believes."""

    certificate: File = None
    key: File = None
    client_ca: File = None


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """Whom respfix believes to be an https:// upstream, and how it shows itself there."""

    verify: bool = True
    ca: File = None
    certificate: File = None
    key: File = None


@dataclass(frozen=True, slots=True)
class Admin:
    """Where the operator looks; nowhere unless asked for."""

    listen: Listeners = ()


@dataclass(frozen=True, slots=True)
class Log:
    """How the log is written."""

    format: Literal["human", "json"] = "human"


@dataclass(frozen=True, slots=True)
class Capture:
    """Where streams that needed repair, or failed, are kept for a bug report; nowhere unless asked for."""

    folder: File = None
    streams: int = 100
    stream_bytes: int = 2 * 2**20
    every: Seconds = 600.0


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set; `config.example.yaml` gives the reasons."""

    listen: Listeners = (Address("127.0.0.1", 8081),)
    upstream: Url = "http://127.0.0.1:8080"
    repair: Literal["on", "observe", "off"] = "on"
    dialect: Dialect = "auto"
    disable: Slugs = ()
    enable: Slugs = ()
    hosts: Hosts = ()
    pass_host: bool = False
    forwarded: bool = False
    trusted_proxies: Networks = ()
    reuse_port: bool = False
    resume: bool = True
    websocket_fallback: bool = True
    connect_retries: Count = 3
    keepalive: Seconds = 0.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    admission: Admission = field(default_factory=Admission)
    tls: Tls = field(default_factory=Tls)
    upstream_tls: UpstreamTls = field(default_factory=UpstreamTls)
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)
    capture: Capture = field(default_factory=Capture)
    routes: tuple[Route, ...] = ()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Where clients connect, those addresses included that only routes name."""
        return tuple(dict.fromkeys([*self.listen, *(each for route in self.routes for each in route.listen)]))


@dataclass(frozen=True, slots=True)
class Route:
    """The requests whose path begins so, and which came in there; and what applies to them."""

    path: Prefix = ""
    listen: Listeners = ()  # none: any
    config: Config = field(default_factory=Config)


def _settings(section: type, prefix: str = "") -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name, hint in get_type_hints(section, include_extras=True).items():
        if name in {"routes", "config"}:
            continue
        kind = kind_of(hint)
        kinds |= {prefix + name: kind} if kind else _settings(hint, f"{prefix}{name}.")
    return kinds


SETTINGS = _settings(Config)
"""Every setting by its dotted name (`timeouts.idle`), in the order of the fields."""

# What a route cannot have of its own, because it is decided before the request is read, or for all of respfix.
GLOBAL_SECTIONS = ("admission.", "tls.", "admin.", "log.", "capture.")
GLOBAL = {"hosts", "trusted_proxies", "reuse_port", "timeouts.client_keepalive", "timeouts.drain"}
GLOBAL |= {name for name in SETTINGS if name.startswith(GLOBAL_SECTIONS)}

ROUTE_SETTINGS = _settings(Route) | {name: kind for name, kind in SETTINGS.items() if name not in GLOBAL}
"""Every setting of a route: which requests it is for, and what it may say of its own."""

ROUTES = "routes."
"""What the names of a route's settings begin with; its number follows: `routes.0.timeouts.idle`."""


def value_of(config: Config, name: str) -> Any:
    """The value of a setting by its dotted name."""
    return functools.reduce(getattr, name.split("."), config)
