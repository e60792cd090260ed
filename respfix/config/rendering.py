"""The configuration for people: what is in effect, and who set it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from respfix.config.kinds import Given, NamedFile, masked
from respfix.config.settings import ROUTE_SETTINGS, ROUTES, SETTINGS, Config, Route, value_of


def render(config: Config, given: Mapping[str, Given]) -> str:
    """The configuration as YAML that reads back as it is; each line says who gave its value. Passwords are masked."""
    lines: list[str] = []
    section = ""
    for name in SETTINGS:
        parent, _, key = name.rpartition(".")
        if parent != section:
            lines.append(f"{parent}:")
            section = parent
        origin = given[name].source if name in given else "default"
        lines.append(f"{'  ' * bool(parent)}{key}: {_spell(value_of(config, name))}  # {origin}")
    lines.append("routes:" if config.routes else "routes: []  # default")
    for number, route in enumerate(config.routes):
        lines += _route(route, {name: given.get(f"{ROUTES}{number}.{name}") for name in ROUTE_SETTINGS})
    return "\n".join(lines) + "\n"


def _route(route: Route, given: Mapping[str, Given | None]) -> list[str]:
    """What it says of its own; the rest it has from the top."""
    lines: list[str] = []
    section = ""
    for name, origin in given.items():
        if origin is None:
            continue
        parent, _, key = name.rpartition(".")
        if parent != section:
            lines.append(f"    {parent}:")
            section = parent
        value = getattr(route, name) if name in ("path", "listen") else value_of(route.config, name)
        lines.append(f"    {'  ' * bool(parent)}{key}: {_spell(value)}  # {origin.source}")
    return ["  - " + lines[0].lstrip(), *lines[1:]]


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps([str(each) for each in value])
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if value is None:
        return '""'
    return json.dumps(masked(str(value)) if not isinstance(value, NamedFile) else str(value))
