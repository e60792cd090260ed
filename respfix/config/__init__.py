"""What respfix can be told, as frozen values: this file builds them of texts, and says which do not fit together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from respfix.config.addresses import Address, Listener, UnixSocket
from respfix.config.kinds import ConfigError, File, Given, Kind, NamedFile, kind_of, masked, nearest
from respfix.config.settings import (
    ROUTE_SETTINGS,
    ROUTES,
    SETTINGS,
    Admin,
    Admission,
    Capture,
    Config,
    Log,
    Route,
    Timeouts,
    Tls,
    UpstreamTls,
)

__all__ = [
    "SETTINGS",
    "Address",
    "Admin",
    "Admission",
    "Capture",
    "Config",
    "ConfigError",
    "Given",
    "Listener",
    "Log",
    "NamedFile",
    "Route",
    "Timeouts",
    "Tls",
    "UnixSocket",
    "UpstreamTls",
    "build",
    "masked",
    "nearest",
]

FILE = kind_of(File)


def build(given: Mapping[str, Given]) -> Config:
    """The configuration in which everything that is not given has its default."""
    top = {name: origin for name, origin in given.items() if not name.startswith(ROUTES)}
    config = _changed(Config(), _read(top, SETTINGS))
    _raise_first(_conflicts(config), top)
    config = replace(config, routes=_routes(config, given))
    _raise_first(_global_conflicts(config), top)
    return config


def _routes(config: Config, given: Mapping[str, Given]) -> tuple[Route, ...]:
    numbered: defaultdict[int, dict[str, Given]] = defaultdict(dict)
    for name, origin in given.items():
        if name.startswith(ROUTES):
            _, place, key = name.split(".", 2)
            numbered[int(place)][key] = origin
    routes: list[Route] = []
    for _, own in sorted(numbered.items()):
        values = _read(own, ROUTE_SETTINGS, ROUTES)
        route = Route(values.pop("path", ""), values.pop("listen", ()), _changed(config, values))
        _raise_first(_conflicts(route.config), own, ROUTES)
        source = next(iter(own.values())).source
        if any(each.is_tls for each in route.listen) and not config.tls.certificate:
            raise ConfigError(f"{own['listen'].source}: routes.listen: https:// needs tls.certificate")
        if not route.path and not route.listen:
            raise ConfigError(f"{source}: routes: say for which requests: `path: /name`, or `listen:` with an address")
        if any((route.path, route.listen) == (other.path, other.listen) for other in routes):
            raise ConfigError(f"{source}: routes: another route is for the same requests; remove one of the two")
        routes.append(route)
    return tuple(routes)


def _read(given: Mapping[str, Given], kinds: Mapping[str, Kind], prefix: str = "") -> dict[str, Any]:
    values = {}
    for name, origin in given.items():
        place = f"{origin.source}: {prefix}{name}"
        try:
            values[name] = kinds[name].read(origin.text)
        except ConfigError as wrong:
            raise ConfigError(f"{place}: {wrong}") from None
        if kinds[name] is FILE and values[name] is not None:
            values[name] = replace(values[name], source=place)
    return values


def _changed(config: Config, values: Mapping[str, Any]) -> Config:
    sections: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections[section][key] = value
    top = sections.pop("", {})
    return replace(config, **top, **{name: replace(getattr(config, name), **sections[name]) for name in sections})


# What no value can be wrong about alone: the name of a setting, and what is wrong with it beside the others. A
# setting that would do nothing is wrong too, because it was meant to do something.

Conflict = tuple[str, str]


def _raise_first(conflicts: Iterator[Conflict], given: Mapping[str, Given], prefix: str = "") -> None:
    """Complain about what was given; a default that does not fit it is never to blame."""
    for name, wrong in conflicts:
        if name in given:
            raise ConfigError(f"{given[name].source}: {prefix}{name}: {wrong}")


def _conflicts(config: Config) -> Iterator[Conflict]:
    """What can be wrong in a route, too."""
    for slug in config.disable:
        if slug in config.enable:
            yield "enable", f"{slug!r} is also disabled; say one of the two"
            yield "disable", f"{slug!r} is also enabled; say one of the two"
    tls = config.upstream_tls
    if tls.key and not tls.certificate:
        yield "upstream_tls.key", "a key is of no use without upstream_tls.certificate"
    if tls.ca and not tls.verify:
        yield "upstream_tls.ca", "is not asked while upstream_tls.verify is false; remove one of the two"


def _global_conflicts(config: Config) -> Iterator[Conflict]:
    if not config.listen:
        yield "listen", "expected at least one address, such as 127.0.0.1:8081"
    plain = [str(each).removeprefix("https://") for each in (*config.listeners, *config.admin.listen)]
    for each in config.admin.listen:
        if plain.count(str(each).removeprefix("https://")) > 1 and not str(each).endswith(":0"):
            yield "admin.listen", f"{each} is also where clients connect; choose another port"
    for listener in config.listen:
        if plain.count(str(listener).removeprefix("https://")) > 1 and not str(listener).endswith(":0"):
            yield "listen", f"{listener} cannot be both http and https; choose another port"
    is_tls = any(each.is_tls for each in (*config.listeners, *config.admin.listen))
    if is_tls and not config.tls.certificate:
        yield "listen", "https:// needs tls.certificate"
        yield "admin.listen", "https:// needs tls.certificate"
    for name in ("certificate", "key", "client_ca"):
        if getattr(config.tls, name) and not is_tls:
            yield f"tls.{name}", "no listener speaks TLS; write `listen: https://host:port`"
    if config.tls.key and not config.tls.certificate:
        yield "tls.key", "a key is of no use without tls.certificate"
