"""What a reload changes, and what of that it cannot change any more."""

from __future__ import annotations

from respfix.config.settings import SETTINGS, Config, value_of

# Settings that something which is open already keeps, and what.
KEPT: dict[str, str] = {
    "reuse_port": "addresses that are open stay as they were bound; restart respfix to change them",
    "admission.header_bytes": "connections that clients have open keep their bound",
    "timeouts.client_keepalive": "connections that clients have open keep theirs",
}


def changed(before: Config, after: Config) -> list[str]:
    """The names of the settings that differ."""
    names = [name for name in SETTINGS if value_of(before, name) != value_of(after, name)]
    return names + ["routes"] * (before.routes != after.routes)


def kept(names: list[str]) -> list[str]:
    """A line for each of these settings that does not reach everything at once: its name, and why."""
    return [f"{name}: {KEPT[name]}" for name in names if name in KEPT]
